"""The gate of every request: who is it, as whom does he act, and may he?

Answers reveal nothing: whether an object exists is looked at only after this.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.authenticator import Authenticator
from netemu.apiserver.auth.escalation import RBAC, check_grant
from netemu.apiserver.auth.rbac import Attributes, Roles
from netemu.apiserver.auth.user import ANONYMOUS, AUTHENTICATED, User
from netemu.apiserver.cache import Cache
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.requestinfo import RequestInfo
from netemu.apiserver.registry import Registry
from netemu.errors import ApiError

_PATH_VERBS = {"create": "post", "update": "put"}


class Gate:
    def __init__(self, authenticator: Authenticator, cache: Cache, registry: Registry) -> None:
        self._authenticator, self._cache, self._registry = authenticator, cache, registry
        self.roles = Roles(self._bindings, self._role)

    def admit(self, call: Call) -> None:
        """Set the call's user; ApiError Unauthorized or Forbidden when he may not."""
        user = self._authenticator.user(call.request.headers, call.request.transport)
        if "Impersonate-User" in call.request.headers:
            user = self._impersonate(call, user)
        call.user = user
        if not user.is_master:
            self.check(user, attributes_of(call.info))

    def check(self, user: User, asked: Attributes) -> None:
        if self.roles.allow(user, asked):
            return
        if user == ANONYMOUS:
            raise ApiError("Unauthorized", "Unauthorized")
        raise forbidden(user, asked)

    def check_grant(self, user: User, kind: Kind, obj: Object) -> None:
        """ApiError Forbidden when a role or binding gives more than `user` has."""
        check_grant(self.roles, self._role, user, kind, obj)

    def _impersonate(self, call: Call, user: User) -> User:
        """`kubectl --as`: needs the verb impersonate on everything that is claimed."""
        headers = call.request.headers
        name = headers["Impersonate-User"]
        groups = tuple(headers.getall("Impersonate-Group", []))
        for kind, claimed in (("users", (name,)), ("groups", groups)):
            for one in claimed:
                asked = Attributes(verb="impersonate", resource=kind, name=one)
                self.check(user, asked)
        if not groups and name.startswith("system:serviceaccount:"):
            namespace = name.split(":")[2]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        if name == ANONYMOUS.name:
            return ANONYMOUS
        acting = User(name=name, groups=groups, uid=headers.get("Impersonate-Uid", ""))
        if AUTHENTICATED in groups:
            return acting
        return replace(acting, groups=(*groups, AUTHENTICATED))

    def _bindings(self, namespace: str) -> Iterable[Object]:
        plural = "rolebindings" if namespace else "clusterrolebindings"
        kind = self._registry.find(RBAC, "v1", plural)
        if kind is None:
            return ()
        return [entry.object for entry in self._cache.of(kind).entries(namespace)]

    def _role(self, namespace: str, name: str) -> Object | None:
        kind = self._registry.find(RBAC, "v1", "roles" if namespace else "clusterroles")
        entry = self._cache.get(kind, namespace, name) if kind is not None else None
        return entry.object if entry is not None else None


def attributes_of(info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(verb=_PATH_VERBS.get(info.verb, info.verb), path=info.path)
    return Attributes(
        verb=info.verb,
        group=info.group,
        resource=info.plural,
        subresource=info.subresource,
        namespace=info.namespace if info.plural != "namespaces" else "",
        name=info.name,
    )


def forbidden(user: User, asked: Attributes) -> ApiError:
    """403 in the real server's words."""
    if not asked.resource:
        message = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        return ApiError("Forbidden", message)
    full = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    group = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    named = f' "{asked.name}"' if asked.name else ""
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    details: Object = {"kind": asked.resource}
    details |= {"group": asked.group} if asked.group else {}
    details |= {"name": asked.name} if asked.name else {}
    return ApiError(
        "Forbidden",
        f'{group}{named} is forbidden: User "{user.name}" cannot {asked.verb} resource "{full}" '
        f'in API group "{asked.group}" {where}',
        details=details,
    )
