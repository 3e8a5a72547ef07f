"""Nobody gives away rights that he does not have: not in a role, and not by binding one.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.rbac import Attributes, Roles
from netemu.apiserver.auth.user import User
from netemu.errors import ApiError

RBAC = "rbac.authorization.k8s.io"
_ROLES = ("roles", "clusterroles")
_BINDINGS = ("rolebindings", "clusterrolebindings")


def check_grant(
    roles: Roles,
    role: Callable[[str, str], Object | None],
    user: User,
    kind: Kind,
    obj: Object,
) -> None:
    """ApiError Forbidden when writing `obj` would give rights that `user` lacks.

    `role(namespace, name)` finds a Role, or a ClusterRole when the namespace is empty.
    """
    if kind.group != RBAC or user.is_master:
        return
    space, name = meta.namespace(obj), meta.name(obj)
    if kind.plural in _ROLES:
        given, verb, target, named = obj, "escalate", kind.plural, name
    elif kind.plural in _BINDINGS:
        reference = obj.get("roleRef") or {}
        own = reference.get("kind") == "Role"
        named = str(reference.get("name") or "")
        given = role(space if own else "", named) or {}
        verb, target = "bind", "roles" if own else "clusterroles"
    else:
        return
    special = Attributes(verb=verb, group=RBAC, resource=target, namespace=space, name=named)
    if roles.allow(user, special):
        return
    missing = [
        asked
        for rule in given.get("rules") or ()
        for asked in _requests(rule, space)
        if not roles.allow(user, asked)
    ]
    if missing:
        raise _refusal(user, kind, name, missing)


def _requests(rule: Object, namespace: str) -> Iterator[Attributes]:
    """Every single request that a rule allows."""
    for verb, path in product(rule.get("verbs") or (), rule.get("nonResourceURLs") or ()):
        yield Attributes(verb=verb, path=path)
    for verb, group, resource, name in product(
        rule.get("verbs") or (),
        rule.get("apiGroups") or (),
        rule.get("resources") or (),
        rule.get("resourceNames") or ("",),
    ):
        plural, _, subresource = resource.partition("/")
        yield Attributes(
            verb=verb,
            group=group,
            resource=plural,
            subresource=subresource,
            namespace=namespace,
            name=name,
        )


def _refusal(user: User, kind: Kind, name: str, missing: list[Attributes]) -> ApiError:
    shown = [
        f"{{{asked.verb} {asked.path or '/'.join(filter(None, (asked.group, asked.resource)))}}}"
        for asked in missing[:5]
    ]
    message = (
        f'{kind.plural}.{kind.group} "{name}" is forbidden: user "{user.name}" '
        f"(groups={list(user.groups)}) is attempting to grant RBAC permissions not currently held: "
        + ", ".join(shown)
    )
    return ApiError("Forbidden", message, details={"name": name, "kind": kind.plural})
