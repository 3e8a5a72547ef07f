"""The body that a plain GET of one object is answered with, for `quickprotocol`.

What a collection's path means is worked out once and remembered; who asks and whether he may is
looked at each time.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from netemu.api.kind import Kind
from netemu.api.metrics import GROUP as METRICS
from netemu.apiserver.auth.gate import attributes_of
from netemu.apiserver.http.negotiation import OBJECT, form_of
from netemu.apiserver.http.render import wire
from netemu.apiserver.http.requestinfo import RequestInfo, parse
from netemu.errors import ApiError

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

QUICK_BYTES = 64 * 1024
"""Larger answers are left to aiohttp, which waits for slow readers."""
_MOST_PLACES = 4096

Place = tuple[Kind, RequestInfo]


class QuickAnswers:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._generation = -1
        self._places: dict[str, Place | None] = {}

    def __call__(
        self, path: str, headers: CIMultiDict[str], transport: asyncio.Transport | None
    ) -> bytes | None:
        """The object as JSON; None when the request is not as simple as that, or goes wrong."""
        server = self._server
        parent, _, name = path.rpartition("/")
        place = self._place(parent)
        if place is None or not name or "%" in name or server.store.shared:
            return None
        if "Impersonate-User" in headers:
            return None
        kind, info = place
        try:
            if form_of(headers.get("Accept", "")) is not OBJECT:
                return None
            user = server.authenticator.user(headers, transport)
            if not user.is_master:
                server.gate.check(user, attributes_of(replace(info, name=name)))
        except ApiError:
            return None
        entry = server.cache.get(kind, info.namespace, name)
        if entry is None:
            return None
        body = wire(entry)
        return body if len(body) < QUICK_BYTES else None

    def _place(self, parent: str) -> Place | None:
        """The kind that lies at a path, if its objects can be read there as they are stored."""
        registry = self._server.registry
        if self._generation != registry.generation or len(self._places) > _MOST_PLACES:
            self._places, self._generation = {}, registry.generation
        try:
            return self._places[parent]
        except KeyError:
            place = self._places[parent] = self._place_of(parse("GET", f"{parent}/x", {}))
            return place

    def _place_of(self, info: RequestInfo) -> Place | None:
        if info.name != "x" or info.subresource or info.verb != "get":
            return None
        kind = self._server.registry.find(info.group, info.version, info.plural)
        if kind is None or "get" not in kind.verbs or kind.group == METRICS:
            return None
        if kind.plural == "namespaces":
            return kind, replace(info, namespace="")
        if info.api_version != kind.api_version or (info.namespace and not kind.namespaced):
            return None
        return kind, info
