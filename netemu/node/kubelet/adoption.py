"""Taking pods over that run already: after the daemon's restart nothing is started again.

The runtimes know the containers, the network knows the sandboxes, the API knows what was said of
them last. What only one of them knows is an orphan, and goes.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from netemu.api import meta
from netemu.api.kind import Object
from netemu.config import ClusterConfig
from netemu.node.kubelet.context import NodeContext, volume_roots
from netemu.node.kubelet.runtime import meta_of
from netemu.node.kubelet.states import (
    PROCESS,
    RUNNING,
    STAND_IN,
    ContainerState,
    Termination,
)

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker


def adopt(worker: PodWorker) -> None:
    """Give a new worker what the API and the runtimes know of its pod."""
    status = worker.pod.get("status") or {}
    if status.get("startTime"):
        worker.around.started = meta.seconds_of(status["startTime"])
    worker.sandbox = worker.context.network.sandboxes().get(worker.uid)
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for each in status.get(field) or ():
            if each["name"] in worker.states:
                _from_status(worker.states[each["name"]], each, worker.context.clock.now())
    for kind in (PROCESS, STAND_IN):
        for described in list(worker.context.runtime.known[kind].values()):
            if described["pod"] == worker.uid:
                del worker.context.runtime.known[kind][described["id"]]
                _from_runtime(worker, kind, described)


def _from_status(state: ContainerState, status: Object, now: float) -> None:
    """History, and how ready it was; whether it runs is for the runtimes to say."""
    state.restarts = int(status.get("restartCount") or 0)
    ended = (status.get("lastState") or {}).get("terminated")
    state.last = _termination(ended) if ended else None
    ended = (status.get("state") or {}).get("terminated")
    if ended:
        state.end(_termination(ended))
    elif running := (status.get("state") or {}).get("running"):
        lost = Termination(137, "ContainerStatusUnknown", _LOST, finished=now)
        lost.started = meta.seconds_of(running["startedAt"])
        lost.container_id = (status.get("containerID") or "").rpartition("/")[2]
        state.end(lost)
    state.started, state.ready = bool(status.get("started")), bool(status.get("ready"))
    state.once = state.started or state.restarts > 0


_LOST = "The container could not be located when the pod was looked at again"


def _from_runtime(worker: PodWorker, kind: str, described: Object) -> None:
    state = worker.states.get(described["name"])
    noted = meta_of(described)
    if state is None or int(noted.get("restarts") or 0) < state.restarts:
        return
    state.id, state.runtime = described["id"], kind
    state.restarts = int(noted.get("restarts") or 0)
    state.backoff.delay = float(noted.get("delay") or 0.0)
    state.phase, state.reason, state.termination = RUNNING, "", None
    state.started_at = described["started"]
    worker.by_id[state.id] = state
    if described["state"] in ("exited", "failed"):
        worker.exited(described)
    else:
        worker.probes.resume(state)


def _termination(record: Object) -> Termination:
    end = Termination(
        int(record.get("exitCode") or 0), record.get("reason") or "", record.get("message") or ""
    )
    end.signal = int(record.get("signal") or 0)
    for field in ("startedAt", "finishedAt"):
        if record.get(field):
            seconds = meta.seconds_of(record[field])
            if field == "startedAt":
                end.started = seconds
            else:
                end.finished = seconds
    end.container_id = (record.get("containerID") or "").rpartition("/")[2]
    return end


async def remove_orphans(context: NodeContext, wanted: Iterable[str]) -> None:
    """End and remove what belongs to pods that are not this node's any more."""
    keep = set(wanted)
    for uid in context.runtime.pods() - keep:
        await context.runtime.remove_pod(uid)
    networks = [uid for uid in context.network.sandboxes() if uid not in keep]
    if networks:
        await context.network.remove(networks)
    await asyncio.to_thread(remove_files, context.config, context.node, keep)


def remove_files(config: ClusterConfig, node: str, keep: Collection[str] = ()) -> None:
    """Volumes and logs of the node's pods, those with a uid in `keep` excepted. Blocks."""
    top = config.node_dir(node)
    logs = {entry.name.rpartition("_")[2]: entry for entry in _entries(top / "pods")}
    for uid in {entry.name for entry in _entries(top / "volumes")} | logs.keys():
        if uid in keep:
            continue
        for path in (*(root / uid for root in volume_roots(config, node)), logs.get(uid)):
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.exists() else []
