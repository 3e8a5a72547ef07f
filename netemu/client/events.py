"""Events: what users look at when something does not come up. Repeats are counted, not repeated.

https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from typing import Any

from netemu.aio import Clock, SystemClock
from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError

log = logging.getLogger(__name__)

_EVENTS = Resource(plural="events", kind="Event")
_REMEMBERED = 4096
_LONGEST_MESSAGE = 1024


class EventRecorder:
    """Events of one component. Never raises: an event that is lost must not stop the work."""

    def __init__(
        self, client: ApiClient, component: str, host: str = "", *, clock: Clock | None = None
    ) -> None:
        self._client, self._component, self._host = client, component, host
        self._clock = clock or SystemClock()
        self._known: OrderedDict[tuple[str, ...], Object] = OrderedDict()
        self._number = itertools.count()  # the clock may stand still between two events

    async def event(
        self,
        obj: Object,
        resource: Resource,
        type: str,
        reason: str,
        message: str,
        *,
        at: float | None = None,
    ) -> None:
        """Tell users about `obj`. `type` is Normal or Warning; `at`: when it was, if not now."""
        at = self._clock.now() if at is None else at
        message = message[:_LONGEST_MESSAGE]
        key = (meta.uid(obj), resource.kind, meta.name(obj), type, reason, message)
        try:
            known = self._known.get(key)
            if known is None or not await self._count(key, known, at):
                made = self._new(obj, resource, type, reason, message, at)
                self._remember(key, await self._client.create(_EVENTS, made))
        except (ApiError, OSError, EOFError) as error:
            pairs = {"reason": reason, "object": meta.key(obj), "error": str(error)}
            log.debug("event lost", extra={"kv": pairs})

    async def _count(self, key: tuple[str, ...], known: Object, at: float) -> bool:
        """Count a repeat; False when the event has gone meanwhile."""
        patch = {
            "count": known.get("count", 1) + 1,
            "lastTimestamp": meta.timestamp(at),
        }
        name, namespace = meta.name(known), meta.namespace(known)
        try:
            self._remember(key, await self._client.patch(_EVENTS, name, namespace, patch))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            return False
        return True

    def _remember(self, key: tuple[str, ...], event: Object) -> None:
        self._known[key] = event
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _new(
        self, obj: Object, resource: Resource, type_: str, reason: str, message: str, at: float
    ) -> Object:
        stamp = meta.timestamp(at)
        source: dict[str, Any] = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "metadata": {
                "name": f"{meta.name(obj)[:230]}.{int(at * 1e9) + next(self._number):x}",
                "namespace": meta.namespace(obj) or "default",
            },
            "involvedObject": _reference(obj, resource),
            "type": type_,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def _reference(obj: Object, resource: Resource) -> Object:
    reference = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "name": meta.name(obj),
        "namespace": meta.namespace(obj),
        "uid": meta.uid(obj),
        "resourceVersion": str(meta.metadata(obj).get("resourceVersion", "")),
    }
    return {field: value for field, value in reference.items() if value}
