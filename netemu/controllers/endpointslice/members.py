"""Which pods each Service selects, kept up to date by events.

A Service with a thousand pods changes a thousand times while they start. Looking for its pods each
time would match every selector against every pod again, so membership is kept: an event costs one
pod's labels against the Services of its namespace, and only when the labels are new.
https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, labels, namespace
from netemu.controllers.context import BY_NAMESPACE, ControllerContext
from netemu.controllers.podstate import is_finished, is_ready
from netemu.controllers.selecting import selects

Listener = Callable[[str], None]


class ServicePods:
    """Shared by the controllers that follow Services and their pods."""

    def __init__(self, context: ControllerContext) -> None:
        self.services = context.informer(kinds.SERVICES)
        self.pods = context.pods
        self._members: dict[str, dict[str, None]] = {}
        self._of_pod: dict[str, tuple[str, ...]] = {}
        self._listeners: list[Listener] = []
        self.services.on_change(self._service_changed)
        self.pods.on_change(self._pod_changed)

    def on_change(self, listener: Listener) -> None:
        """Call `listener(service key)` whenever the Service's endpoints may have changed."""
        self._listeners.append(listener)

    def of(self, service: str) -> Iterator[Object]:
        """The pods that the Service with that key selects, in the order in which they came."""
        for pod_key in self._members.get(service, ()):
            pod = self.pods.get(pod_key)
            if pod is not None:
                yield pod

    def count(self, service: str) -> int:
        return len(self._members.get(service, ()))

    def _tell(self, service: str) -> None:
        for listener in self._listeners:
            listener(service)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None:
            return
        where = key(obj)
        if new is None:
            for pod_key in self._members.pop(where, ()):
                self._drop(pod_key, where)
        elif old is None or old["spec"].get("selector") != new["spec"].get("selector"):
            self._rescan(where, new)
        self._tell(where)

    def _rescan(self, where: str, service: Object) -> None:
        for pod_key in self._members.pop(where, ()):
            self._drop(pod_key, where)
        found = self._members[where] = {}
        for pod in self.pods.by_index(BY_NAMESPACE, namespace(service)):
            if selects(service, pod):
                found[key(pod)] = None
                self._of_pod[key(pod)] = (*self._of_pod.get(key(pod), ()), where)

    def _drop(self, pod_key: str, service: str) -> None:
        left = tuple(found for found in self._of_pod.get(pod_key, ()) if found != service)
        if left:
            self._of_pod[pod_key] = left
        else:
            self._of_pod.pop(pod_key, None)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None:
            return
        where = key(obj)
        before = self._of_pod.get(where, ())
        if new is None:
            after: tuple[str, ...] = ()
        elif old is not None and labels(old) == labels(new):
            after = before
        else:
            services = self.services.by_index(BY_NAMESPACE, namespace(new))
            after = tuple(key(service) for service in services if selects(service, new))
        if after != before:
            self._move(where, before, after)
        elif not _matters(old, new):
            return
        for service in {*before, *after}:
            self._tell(service)

    def _move(self, pod_key: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        for service in before:
            if service not in after:
                self._members.get(service, {}).pop(pod_key, None)
        for service in after:
            self._members.setdefault(service, {})[pod_key] = None
        if after:
            self._of_pod[pod_key] = after
        else:
            self._of_pod.pop(pod_key, None)


def _matters(old: Object | None, new: Object | None) -> bool:
    """Whether an endpoint could look different after this change of its pod."""
    if old is None or new is None:
        return True
    return _facts(old) != _facts(new)


def _facts(pod: Object) -> tuple[object, ...]:
    status, spec = pod.get("status") or {}, pod["spec"]
    return (
        status.get("podIP"),
        status.get("podIPs"),
        is_ready(pod),
        is_deleting(pod),
        is_finished(pod),
        spec.get("nodeName"),
        pod["metadata"].get("uid"),
    )
