"""Lifecycle hooks: postStart and preStop.

https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netemu.api.kind import Object
from netemu.node.kubelet.actions import act
from netemu.node.kubelet.states import ContainerState

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_NO_LIMIT = 24 * 3600.0
"""A hook's own time limit: the pod's grace period is the caller's."""


async def run_hook(worker: PodWorker, state: ContainerState, hook: Object) -> None:
    """Run one hook to its end. Raises RuntimeError with what it said when it failed."""
    if hook.get("sleep"):
        await worker.context.clock.sleep(float(hook["sleep"].get("seconds") or 0))
        return
    succeeded, output = await act(worker, state, hook, _NO_LIMIT)
    if not succeeded:
        raise RuntimeError(output)
