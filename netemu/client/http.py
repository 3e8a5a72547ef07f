"""The API client over HTTP: for agents in other processes, the resolver pods, and the CLI.

JSON both ways; works against any Kubernetes API server, except for progress and barriers, which
are netemu's own. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.client.connection import Address, Pool, Response
from netemu.client.protocol import MERGE_PATCH, ObjectList, WatchEvent
from netemu.errors import ApiError

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_POSTED = ("binding", "eviction", "token")
"""Subresources that one creates; the others one replaces."""
_WATCH_SECONDS = 3600


class HttpClient:
    """An `ApiClient` on a pool of connections. `token`: a bearer token."""

    def __init__(self, address: Address, *, token: str = "", user_agent: str = "netemu") -> None:
        self._pool = Pool(address)
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def unix(cls, path: Path | str, *, user_agent: str = "netemu") -> HttpClient:
        """A client on the server's unix socket."""
        return cls(Address(path=str(path)), user_agent=user_agent)

    @classmethod
    def url(
        cls, url: str, *, tls: ssl.SSLContext | None = None, token: str = "", user_agent: str = ""
    ) -> HttpClient:
        """A client for `unix:PATH`, `http://…` or `https://…`."""
        return cls(Address.parse(url, tls=tls), token=token, user_agent=user_agent or "netemu")

    async def close(self) -> None:
        await self._pool.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Response:
        """One request; give the answer to `finish`. ApiError for a Status of failure."""
        query = urlencode({key: value for key, value in (params or {}).items() if value})
        headers = dict(self._headers)
        if accept:
            headers["Accept"] = accept
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else _encode(body)
        response = await self._pool.request(
            method, f"{quote(path)}?{query}" if query else quote(path), headers, data
        )
        if response.status >= 400:
            try:
                raise _error(response.status, await response.read())
            finally:
                self._pool.release(response)
        return response

    def finish(self, response: Response) -> None:
        self._pool.release(response)

    async def json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request whose answer is one JSON document."""
        response = await self.request(
            method, path, params=params, body=body, content_type=content_type
        )
        try:
            found: Object = _decode(await response.read())
        finally:
            self._pool.release(response)
        return found

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return await self.json("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        params = {"labelSelector": labels, "fieldSelector": fields}
        found = await self.json("GET", resource.path(namespace), params=params)
        items = found.get("items") or []
        for item in items:  # lists leave out what all items share
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return ObjectList(items, meta.revision(found))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Until the server ends it, which is after an hour at the latest."""
        params = {
            "watch": "true",
            "resourceVersion": str(revision),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        response = await self.request("GET", resource.path(namespace), params=params)
        try:
            async for line in _lines(response):
                event = _decode(line)
                found = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError.from_status(found)
                yield WatchEvent(event["type"], found, meta.revision(found))
        finally:
            self._pool.release(response)

    async def create(self, resource: Resource, obj: Object) -> Object:
        return await self.json("POST", resource.path(meta.namespace(obj)), body=obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        path = resource.path(meta.namespace(obj), meta.name(obj), subresource)
        return await self.json("POST" if subresource in _POSTED else "PUT", path, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        return await self.json("PATCH", path, params=params, body=patch, content_type=content_type)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        return await self.json("DELETE", resource.path(namespace, name), body=options)

    async def report_progress(self, component: str, revision: int) -> None:
        body = {"component": component, "revision": revision}
        await self.json("POST", "/netemu/v1/progress", body=body)

    async def barrier(self, revision: int = 0, *, timeout: float = 30.0) -> Object:
        params = {"revision": str(revision), "timeout": str(timeout)}
        return await self.json("POST", "/netemu/v1/barrier", params=params)


async def _lines(response: Response) -> AsyncIterator[bytes]:
    rest = b""
    async for part in response.parts():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line:
                yield line


def _error(code: int, body: bytes) -> ApiError:
    try:
        status = _decode(body)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return ApiError.from_status(status)
    except msgspec.DecodeError:
        pass
    text = body.decode(errors="replace").strip()[:500]
    return ApiError("InternalError", text or f"the server answered {code}", code=code)
