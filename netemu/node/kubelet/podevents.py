"""Events about pods, as the kubelet tells them.

When a thousand pods start at once, the routine ones (Pulled, Created, Started) are left out.
"""

from __future__ import annotations

from netemu.api.kind import Object
from netemu.api.kinds import NODES, PODS
from netemu.client.eventqueue import EventQueue


class PodEvents:
    """A kubelet's words for `queue`."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    def normal(self, pod: Object, reason: str, message: str) -> None:
        """Something routine happened to `pod`."""
        self._queue.event(pod, PODS, "Normal", reason, message, routine=True)

    def warning(self, pod: Object, reason: str, message: str) -> None:
        self._queue.event(pod, PODS, "Warning", reason, message)

    def node_warning(self, node: str, reason: str, message: str) -> None:
        """About the node itself, whose uid is its name here, as in a real kubelet's events."""
        about = {"metadata": {"name": node, "uid": node}}
        self._queue.event(about, NODES, "Warning", reason, message)

    async def run(self) -> None:
        """Write events until cancelled."""
        await self._queue.run()
