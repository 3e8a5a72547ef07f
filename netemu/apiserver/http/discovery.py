"""Discovery documents, made from the kinds that are served and kept until those change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from aiohttp import web

from netemu.api import discovery
from netemu.api.kind import Object
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.negotiation import accepted
from netemu.apiserver.http.render import encode
from netemu.apiserver.registry import UNKNOWN_PATH, Registry
from netemu.errors import ApiError

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


class Documents:
    """Encoded documents of one registry, made again when kinds come or go."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._made: dict[str, bytes] = {}

    def get(self, name: str, make: Callable[[], Object | bytes]) -> bytes:
        """The document called `name`, made by `make` if it is not known."""
        if self._generation != self._registry.generation:
            self._made.clear()
            self._generation = self._registry.generation
        if name not in self._made:
            made = make()
            self._made[name] = made if isinstance(made, bytes) else encode(made)
        return self._made[name]


async def serve_discovery(call: Call) -> web.StreamResponse:
    """`/api`, `/apis` and what is below them, with or without a slash at the end."""
    parts = [part for part in call.info.path.split("/") if part]
    if call.request.method not in ("GET", "HEAD"):
        raise ApiError("MethodNotAllowed", "discovery can only be read")
    if len(parts) == 1:
        return _roots(call, core=parts[0] == "api")
    documents, registry = call.server.documents, call.server.registry

    def make() -> Object:
        kinds = registry.kinds()
        if parts[0] == "api":
            found = discovery.resource_list(kinds, "", parts[1]) if len(parts) == 2 else None
        elif len(parts) == 2:
            found = discovery.group(kinds, parts[1])
        else:
            found = discovery.resource_list(kinds, parts[1], parts[2])
        if found is None:
            raise ApiError("NotFound", UNKNOWN_PATH)
        return found

    return call.answer(documents.get("/".join(parts), make))


def _roots(call: Call, *, core: bool) -> web.StreamResponse:
    documents, registry = call.server.documents, call.server.registry
    version = _aggregated_version(call)
    if version:
        name = f"aggregated {version} {core}"
        data = documents.get(
            name, lambda: discovery.aggregated(registry.kinds(), core=core, version=version)
        )
        tag = f'"{hashlib.sha256(data).hexdigest().upper()}"'
        if call.request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        answer = call.answer(data, content_type=_AGGREGATED.format(version))
        answer.headers["ETag"] = tag
        answer.headers["Vary"] = "Accept"
        return answer
    if core:
        address = f"127.0.0.1:{call.server.port}"
        return call.answer(documents.get("api", lambda: discovery.api_versions(address)))
    return call.answer(documents.get("apis", lambda: discovery.group_list(registry.kinds())))


def _aggregated_version(call: Call) -> str:
    """`v2` or `v2beta1` when the client would rather have the aggregated form."""
    for media, parameters in accepted(call.request.headers.get("Accept", "")):
        if media in ("application/json", "*/*"):
            wanted = parameters.get("as") == "APIGroupDiscoveryList"
            version = parameters.get("v", "")
            if wanted and version in ("v2", "v2beta1"):
                return version
            if not wanted:
                return ""
    return ""
