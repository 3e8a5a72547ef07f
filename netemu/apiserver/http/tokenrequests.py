"""`POST serviceaccounts/{name}/token`: a token for an account, for a time, for a pod.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from aiohttp import web

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.tokens import BOUND_KINDS, ISSUER, Claims, Signer
from netemu.apiserver.http.call import Call
from netemu.apiserver.pipeline.context import Context
from netemu.errors import ApiError

_SHORTEST, _DEFAULT, _LONGEST = 600, 3600, 1 << 32


async def request_token(call: Call, kind: Kind) -> web.StreamResponse:
    request = await call.document()
    info = call.info
    done = make_token(
        call.ctx, call.server.signer, kind, info.namespace, info.name, request.get("spec") or {}
    )
    metadata = {"name": info.name, "namespace": info.namespace, "creationTimestamp": None}
    return call.json({**request, **done, "metadata": metadata}, status=201)


def make_token(
    ctx: Context, signer: Signer, kind: Kind, namespace: str, name: str, spec: Object
) -> Object:
    """`{"kind": "TokenRequest", "spec": …, "status": {"token", "expirationTimestamp"}}`."""
    account = ctx.find(kind, namespace, name).object
    seconds = spec.get("expirationSeconds") or _DEFAULT
    if not isinstance(seconds, int) or not _SHORTEST <= seconds <= _LONGEST:
        why = f"may not specify a duration less than {_SHORTEST // 60} minutes"
        message = f"spec.expirationSeconds: Invalid value: {seconds}: {why}"
        raise ApiError("Invalid", f'TokenRequest.authentication.k8s.io "" is invalid: {message}')
    audiences = tuple(spec.get("audiences") or (ISSUER,))
    kind_bound, bound = _bound(ctx, namespace, spec.get("boundObjectRef") or {}, name)
    now = ctx.clock.now()
    claims = Claims(
        namespace=namespace,
        account=name,
        account_uid=meta.uid(account),
        bound_kind=kind_bound,
        bound_name=meta.name(bound) if bound else "",
        bound_uid=meta.uid(bound) if bound else "",
        audiences=audiences,
        expires=now + seconds,
    )
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "spec": {**spec, "audiences": list(audiences), "expirationSeconds": seconds},
        "status": {
            "token": signer.issue(claims, now),
            "expirationTimestamp": meta.timestamp(now + seconds),
        },
    }


def _bound(
    ctx: Context, namespace: str, reference: Object, account: str
) -> tuple[str, Object | None]:
    """The kind, in lower case, and the object that the token shall die with; ("", None)."""
    if not reference:
        return "", None
    kind = str(reference.get("kind") or "").lower()
    if kind not in BOUND_KINDS:
        message = f'cannot bind token for serviceaccount "{account}" to object of kind'
        raise ApiError("BadRequest", f'{message} "{reference.get("kind")}"')
    resource = ctx.registry.find("", "v1", f"{kind}s")
    assert resource is not None
    found = ctx.find(resource, namespace, str(reference.get("name") or "")).object
    if reference.get("uid") not in (None, "", meta.uid(found)):
        message = f"the UID in the bound object reference ({reference['uid']}) does not match"
        raise ApiError("Conflict", f"{message} the UID in record")
    spec = found.get("spec") or {}
    if kind == "pod" and spec.get("serviceAccountName", "default") != account:
        message = f'cannot bind token for serviceaccount "{account}" to pod running with'
        raise ApiError("BadRequest", f"{message} a different serviceaccount name.")
    return kind, found
