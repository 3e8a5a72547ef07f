"""Reviews: questions about users, tokens and rights; asked by create, answered, never stored.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.rbac import Attributes
from netemu.apiserver.auth.user import User
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.objects import read_object
from netemu.apiserver.pipeline.shape import check_shape
from netemu.errors import ApiError

Answer = Callable[[Call, Object], Object]


async def review(call: Call, kind: Kind) -> web.StreamResponse:
    """The body with its `status` filled in."""
    answer = _ANSWERS.get(kind.kind)
    if answer is None:
        raise ApiError("MethodNotAllowed", f"{kind.kind} cannot be created")
    obj = check_shape(kind, await read_object(call, kind), call.options())
    spec = obj.get("spec") or {}
    metadata = obj.get("metadata") or {}
    return call.json({**obj, "metadata": metadata, "status": answer(call, spec)}, status=201)


def _self_access(call: Call, spec: Object) -> Object:
    return _decide(call, call.user, spec)


def _access(call: Call, spec: Object) -> Object:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    user = User(
        name=spec.get("user") or "",
        groups=tuple(spec.get("groups") or ()),
        uid=spec.get("uid") or "",
        extra=extra,
    )
    return _decide(call, user, spec)


def _decide(call: Call, user: User, spec: Object) -> Object:
    asked = _attributes(spec)
    if call.server.gate.roles.allow(user, asked):
        return {"allowed": True}
    return {"allowed": False}


def _attributes(spec: Object) -> Attributes:
    found, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(found) == bool(path):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise ApiError("Invalid", f"spec: Invalid value: {message}")
    if path:
        return Attributes(verb=path.get("verb") or "", path=path.get("path") or "")
    assert found is not None
    return Attributes(
        verb=found.get("verb") or "",
        group=found.get("group") or "",
        resource=found.get("resource") or "",
        subresource=found.get("subresource") or "",
        namespace=found.get("namespace") or "",
        name=found.get("name") or "",
    )


def _self_rules(call: Call, spec: Object) -> Object:
    resources: list[Object] = []
    paths: list[Object] = []
    rules: Any = call.server.gate.roles.rules(call.user, spec.get("namespace") or "")
    if call.user.is_master:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        rules = (everything, {"verbs": ["*"], "nonResourceURLs": ["*"]})
    for rule in rules:
        (paths if rule.get("nonResourceURLs") else resources).append(rule)
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _self(call: Call, spec: Object) -> Object:
    return {"userInfo": user_info(call.user)}


def _token(call: Call, spec: Object) -> Object:
    token, asked = str(spec.get("token") or ""), tuple(spec.get("audiences") or ())
    authenticator = call.server.authenticator
    try:
        user = authenticator.bearer(token, asked)
        audiences = authenticator.audiences(token, asked)
    except ApiError:
        return {"authenticated": False, "user": {}, "error": "the token is not valid"}
    return {"authenticated": True, "user": user_info(user), "audiences": audiences}


def user_info(user: User) -> Object:
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


_ANSWERS: dict[str, Answer] = {
    "SelfSubjectAccessReview": _self_access,
    "SubjectAccessReview": _access,
    "LocalSubjectAccessReview": _access,
    "SelfSubjectRulesReview": _self_rules,
    "SelfSubjectReview": _self,
    "TokenReview": _token,
}
