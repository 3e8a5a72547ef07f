"""Ending: one container, a pod's sidecars, a whole pod.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from netemu.api import meta
from netemu.api.kinds import PODS
from netemu.errors import ApiError
from netemu.node.kubelet.eviction import EVICTED
from netemu.node.kubelet.hooks import run_hook
from netemu.node.kubelet.states import EPHEMERAL, INIT, MAIN, SIDECAR, ContainerState

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_LEAST_AFTER_HOOK = 2.0
"""Seconds that a container gets after a preStop hook that used up the grace period."""
_EVICTION_GRACE = 1.0


async def stop_container(worker: PodWorker, state: ContainerState, grace: float) -> None:
    """preStop, SIGTERM, and SIGKILL after what is left of `grace` seconds. Doesn't wait."""
    hook = (state.spec.get("lifecycle") or {}).get("preStop")
    clock, start = worker.context.clock, worker.context.clock.monotonic()
    if hook and grace > 0:
        try:
            async with asyncio.timeout(grace):
                await run_hook(worker, state, hook)
        except (OSError, TimeoutError, RuntimeError) as error:
            message = f"PreStopHook failed: {error or 'the grace period is over'}"
            worker.context.events.warning(worker.pod, "FailedPreStopHook", message)
        grace = max(_LEAST_AFTER_HOOK, grace - (clock.monotonic() - start))
    if state.alive and state.id:
        await worker.context.runtime.stop(state.runtime, [state.id], grace)


async def stop_sidecars(worker: PodWorker) -> None:
    """The pod's work is done: end the sidecars, the last one first."""
    for state in reversed(worker.running(SIDECAR)):
        await worker.kill(state, f"Stopping container {state.name}")


async def put_down(worker: PodWorker, reason: str, message: str) -> None:
    """Fail the pod as a whole: nothing of it runs any more, the object stays."""
    worker.around.failed = (reason, message)
    evicted = reason == EVICTED
    tell = worker.context.events.warning if evicted else worker.context.events.normal
    tell(worker.pod, reason, message)
    for state in worker.running():
        grace = _EVICTION_GRACE if evicted else None
        await worker.kill(state, f"Stopping container {state.name}", grace=grace)
    await worker.write_status()


async def terminate(worker: PodWorker) -> None:
    """One step of ending a pod that is being deleted, or that is gone from the API."""
    grace = _grace(worker)
    if worker.stopping_with is None or grace < worker.stopping_with:
        await _stop_all(worker, grace)
    if worker.running():
        return  # their ends wake us
    await _clean_up(worker)
    worker.over = True


def _grace(worker: PodWorker) -> float:
    if worker.gone:
        return 0.0
    given = meta.metadata(worker.pod).get("deletionGracePeriodSeconds")
    if given is None:
        given = worker.pod["spec"].get("terminationGracePeriodSeconds", 30)
    return float(given)


async def _stop_all(worker: PodWorker, grace: float) -> None:
    """Ask everything to end: containers first, then sidecars in reverse order."""
    again, worker.stopping_with = worker.stopping_with is not None, grace
    worker.probes.stop_for_termination()
    if again:
        for state in worker.running():
            await worker.context.runtime.stop(state.runtime, [state.id], grace)
        return
    first = worker.running(MAIN, INIT, EPHEMERAL)
    for state in (*first, *worker.running(SIDECAR)):
        message = f"Stopping container {state.name}"
        state.killed = message
        worker.context.events.normal(worker.pod, "Killing", message)
    if len(first) == 1 and not worker.running(SIDECAR) and not _has_hook(first[0]):
        await stop_container(worker, first[0], grace)
    elif first or worker.running(SIDECAR):
        worker.context.spawn(_stop_in_order(worker, grace), f"stop-{worker.uid}")


def _has_hook(state: ContainerState) -> bool:
    return bool((state.spec.get("lifecycle") or {}).get("preStop"))


async def _stop_in_order(worker: PodWorker, grace: float) -> None:
    clock = worker.context.clock
    end = clock.monotonic() + grace
    first = worker.running(MAIN, INIT, EPHEMERAL)
    await asyncio.gather(*(stop_container(worker, state, grace) for state in first))
    for state in reversed(worker.running(SIDECAR)):
        while any(other.alive for other in first) and clock.monotonic() < end:
            await clock.sleep(0.02)
        await stop_container(worker, state, max(0.0, end - clock.monotonic()))


async def _clean_up(worker: PodWorker) -> None:
    """Everything of the pod goes; at last the object, now that nothing runs."""
    context = worker.context
    worker.around.stopped = True
    if not worker.gone and _someone_waits_for_its_result(worker):
        await worker.write_status()
    await release(worker)
    await worker.volumes.remove()
    shutil.rmtree(worker.log_directory, ignore_errors=True)
    if worker.gone:
        return
    try:
        await context.client.delete(
            PODS,
            meta.name(worker.pod),
            meta.namespace(worker.pod),
            uid=worker.uid,
            grace_period_seconds=0,
        )
    except ApiError as error:
        if error.reason not in ("NotFound", "Conflict"):
            raise


async def release(worker: PodWorker) -> None:
    """Give back what a pod without running containers holds: records, namespaces, address."""
    await worker.context.runtime.remove_pod(worker.uid)
    if worker.sandbox is not None:
        await worker.context.host_ports.remove(worker.pod, worker.ips)
        await worker.context.removals.submit(worker.uid)
        worker.sandbox = None
        worker.around.has_network = False


def _someone_waits_for_its_result(worker: PodWorker) -> bool:
    """A Job counts how its pods ended; a finalizer's owner looks before the pod goes."""
    owner = meta.controller_of(worker.pod)
    by_job = owner is not None and owner.get("kind") == "Job"
    return by_job or bool(meta.metadata(worker.pod).get("finalizers"))
