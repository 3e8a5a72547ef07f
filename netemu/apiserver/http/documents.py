"""What is not about a resource: version, health, discovery, OpenAPI, and netemu's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from netemu.apiserver.auth.tokens import ISSUER
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.discovery import serve_discovery
from netemu.apiserver.http.openapi import serve_openapi
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.errors import ApiError

Document = Callable[[Call], Awaitable[web.StreamResponse]]

MAJOR, MINOR = "1", "35"
VERSION = {
    "major": MAJOR,
    "minor": MINOR,
    "gitVersion": f"v{MAJOR}.{MINOR}.0+netemu",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


async def serve_document(call: Call) -> web.StreamResponse:
    path = call.info.path.rstrip("/")
    first = path.strip("/").partition("/")[0]
    if first in ("api", "apis"):
        return await serve_discovery(call)
    if first == "openapi":
        return await serve_openapi(call)
    method = "GET" if call.request.method == "HEAD" else call.request.method
    found = _EXACT.get((method, path))
    if found is None:
        if any(known == path for _, known in _EXACT):
            raise ApiError("MethodNotAllowed", "the method is not allowed on this path")
        raise ApiError("NotFound", UNKNOWN_PATH)
    return await found(call)


async def _root(call: Call) -> web.StreamResponse:
    """All there is to read, but for objects."""
    paths = {path for method, path in _EXACT if method == "GET" and path}
    paths |= {"/api", "/apis", "/openapi/v2", "/openapi/v3"}
    for kind in call.server.registry.kinds():
        for group, version in ((kind.group, kind.version), *kind.aliases):
            groups = {f"/apis/{group}", f"/apis/{group}/{version}"}
            paths |= groups if group else {f"/api/{version}"}
    return call.json({"paths": sorted(paths)})


async def _version(call: Call) -> web.StreamResponse:
    return call.json(dict(VERSION))


async def _health(call: Call) -> web.StreamResponse:
    if "verbose" in call.query:
        checks = "[+]ping ok\n[+]store ok\n"
        return call.text(f"{checks}{call.info.path.strip('/')} check passed\n")
    return call.text("ok")


async def _key_set(call: Call) -> web.StreamResponse:
    return call.json(call.server.signer.key_set())


async def _openid(call: Call) -> web.StreamResponse:
    document = {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    return call.json(document)


async def _report_progress(call: Call) -> web.StreamResponse:
    found = await call.document()
    component, revision = found.get("component"), found.get("revision")
    if not isinstance(component, str) or not isinstance(revision, int) or not component:
        raise ApiError("BadRequest", "progress is {component: string, revision: number}")
    call.server.progress.report(component, revision)
    return call.json({})


async def _barrier(call: Call) -> web.StreamResponse:
    try:
        timeout = float(call.query.get("timeout", "30"))
    except ValueError:
        raise ApiError("BadRequest", "timeout must be a number of seconds") from None
    done = await call.server.progress.barrier(call.number("revision") or 0, timeout=timeout)
    return call.json(done)


_EXACT: dict[tuple[str, str], Document] = {
    ("GET", ""): _root,
    ("GET", "/version"): _version,
    ("GET", "/healthz"): _health,
    ("GET", "/livez"): _health,
    ("GET", "/readyz"): _health,
    ("GET", "/openid/v1/jwks"): _key_set,
    ("GET", "/.well-known/openid-configuration"): _openid,
    ("POST", "/netemu/v1/progress"): _report_progress,
    ("POST", "/netemu/v1/barrier"): _barrier,
}
