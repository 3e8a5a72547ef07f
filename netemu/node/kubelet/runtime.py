"""The two runtimes behind one face: processes (supervisor) and stand-ins.

Both outlive the daemon. Requests of many pods go out together; what they say about containers is
routed to the pod's worker by the container's id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netemu.aio import spawn
from netemu.errors import DataplaneError
from netemu.node.kubelet.batcher import Batcher
from netemu.node.kubelet.states import PROCESS, STAND_IN
from netemu.node.ledger import Ledger
from netemu.node.supervisor.client import Event, SupervisorClient, boot_command, launch
from netemu.node.supervisor.wire import MAX_FDS, Message

log = logging.getLogger(__name__)

_START_LIMIT = 30.0
"""Seconds in which a process of ours must have started, on however busy a machine."""
_FDS = min(MAX_FDS, 128)


class Runtime:
    """Containers of one node. `directory` holds sockets and logs, `cgroup` names its groups."""

    def __init__(self, directory: Path, cgroup: str, ledger: Ledger) -> None:
        self._directory = directory
        self._cgroup = cgroup
        self._ledger = ledger
        self.processes = SupervisorClient(
            directory / "supervisor.sock", self._event, lambda: self._lost(PROCESS)
        )
        self.standins = SupervisorClient(
            directory / "standins.sock", self._event, lambda: self._lost(STAND_IN)
        )
        self.on_exit: Callable[[Message], None] = lambda container: None
        """Called with a container's description when it has ended."""
        self.on_entered: Callable[[Message], None] = lambda container: None
        """Called when the first command runs in a stand-in's container."""
        self.on_lost: Callable[[str], None] = lambda kind: None
        """Called when a runtime (`process`, `standin`) died: its containers are gone."""
        self.known: dict[str, dict[str, Message]] = {PROCESS: {}, STAND_IN: {}}
        """Containers that were there when we connected, by id, with what became of them."""
        self.limits: tuple[str, ...] = ()
        self._starting: dict[str, asyncio.Future[Message]] = {}
        self._pods = Batcher[tuple[Message, str], None](self._add_pods, limit=_FDS)
        self._starts = Batcher[Message, Message](self._start_processes, limit=_FDS)
        self._standins = Batcher[tuple[Message, str], Message](self._start_standins, limit=_FDS)
        self._removals = Batcher[str, None](self._remove_pods, limit=1024)
        self._lazy: list[Message] = []
        self._lazy_wanted = asyncio.Event()
        self._pod_known: set[str] = set()
        """Pods whose namespaces the supervisor holds."""

    async def open(self) -> None:
        """Connect to the supervisor and the stand-ins, starting them where they don't run."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._claim_cgroups()
        hello = await self._connect_or_start()
        self._pod_known = set(hello["pods"])
        self.limits = tuple(hello["cgroups"]["limits"])
        self.known[PROCESS] = {
            each["id"]: each for each in hello["containers"] if each["state"] != "lazy"
        }
        hello = await self._connect_standins()
        self.known[STAND_IN] = {each["id"]: each for each in hello["containers"]}

    def _claim_cgroups(self) -> None:
        """Own the control groups before they are made; the ledger removes what is there."""
        for name in ("", "/pids", "/memory", "/cpu"):
            self._ledger.record("dir", path=f"/sys/fs/cgroup{name}/{self._cgroup}")

    async def _connect_or_start(self) -> Message:
        try:
            return await self.processes.connect()
        except DataplaneError:
            await launch(self._directory, self._cgroup, self._record)
        return await self.processes.connect()

    def _record(self, pid: int, start_time: int) -> None:
        self._ledger.record("process", pid=pid, start_time=start_time)

    async def _connect_standins(self) -> Message:
        try:
            return await self.standins.connect()
        except DataplaneError:
            argv = boot_command("standins", str(self._directory))
            await self.processes.request("helper", argv=argv)
        limit = asyncio.get_running_loop().time() + _START_LIMIT
        while True:
            try:
                return await self.standins.connect()
            except DataplaneError:
                if asyncio.get_running_loop().time() > limit:
                    raise
                await asyncio.sleep(0.01)

    async def reopen(self) -> None:
        """Start anew what died; its containers are gone."""
        if not self.processes.connected:
            await self._connect_or_start()
        if not self.standins.connected:
            await self._connect_standins()

    async def close(self) -> None:
        """Disconnect; containers go on."""
        await self.processes.close()
        await self.standins.close()

    async def dismantle(self) -> None:
        """End every container and both runtimes for good: the node itself goes."""
        try:
            hello = await self.processes.connect()
        except DataplaneError:
            return  # it never ran, or has ended
        try:
            await self.processes.request("remove-pods", uids=list(hello["pods"]))
            await self.processes.request("shutdown")
        finally:
            await self.close()

    async def _register(self) -> None:
        """Nobody waits for these: they go out together when there is time."""
        while True:
            await self._lazy_wanted.wait()
            self._lazy_wanted.clear()
            specs, self._lazy = self._lazy, []
            with contextlib.suppress(DataplaneError):  # lost: so are the stand-ins
                await self.processes.request("start", containers=specs)

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with asyncio.TaskGroup() as group:
            spawn(group, self._register(), name="runtime-lazy")
            spawn(group, self._pods.run(), name="runtime-pods")
            spawn(group, self._starts.run(), name="runtime-starts")
            spawn(group, self._standins.run(), name="runtime-standins")
            spawn(group, self._removals.run(), name="runtime-removals")

    def pods(self) -> set[str]:
        """Every pod that a runtime knows something of."""
        known = {each["pod"] for kind in self.known.values() for each in kind.values()}
        return known | self._pod_known

    # What the workers ask for

    async def add_pod(self, entry: Message, netns: str) -> None:
        """Make a pod known: `{uid, hostname, files, shared, share_pids}` and its namespace."""
        if entry["uid"] not in self._pod_known:
            await self._pods.submit((entry, netns))

    async def start_process(self, spec: Message) -> Message:
        """Start a container; its description once its command runs or was refused."""
        return await self._starts.submit(spec)

    async def start_standin(self, spec: Message, netns: str) -> Message:
        return await self._standins.submit((spec, netns))

    def register_lazy(self, spec: Message) -> None:
        """Let the supervisor know a stand-in's container, so that commands can run in it."""
        self._lazy.append(spec)
        self._lazy_wanted.set()

    async def stop(self, kind: str, ids: Sequence[str], grace: float) -> None:
        """Ask containers to end: SIGTERM, and SIGKILL after `grace` seconds."""
        await self._client(kind).request("stop", ids=list(ids), grace=grace)

    async def signal(self, identifier: str, number: int) -> None:
        await self.processes.request("signal", id=identifier, signal=number)

    async def usage(self) -> dict[str, tuple[int, int]]:
        """Container id → (processor time so far in ns, memory in bytes)."""
        processes = await self.processes.request("usage")
        standins = await self.standins.request("usage")
        # A stand-in's container may have a process beside it, for commands: that counts, too.
        result = {key: (value[0], value[1]) for key, value in processes["usage"].items()}
        for key, (time, memory) in standins["usage"].items():
            more = result.get(key, (0, 0))
            result[key] = (time + more[0], memory + more[1])
        return result

    async def remove(self, kind: str, ids: Sequence[str]) -> None:
        """Forget ended containers."""
        with contextlib.suppress(DataplaneError):  # a runtime that died has forgotten them
            await self._client(kind).request("remove", ids=list(ids))
            if kind == STAND_IN:
                await self.processes.request("remove", ids=list(ids))

    async def remove_pod(self, uid: str) -> None:
        """End whatever is left of a pod and let its namespaces go."""
        await self._removals.submit(uid)

    def _client(self, kind: str) -> SupervisorClient:
        return self.standins if kind == STAND_IN else self.processes

    # Batches

    async def _add_pods(self, batch: Sequence[tuple[Message, str]]) -> Sequence[None | Exception]:
        fds, results = _open_all([netns for _, netns in batch])
        try:
            entries = [entry for (entry, _), bad in zip(batch, results, strict=True) if bad is None]
            await self.processes.request("pods", pods=entries, fds=fds)
            self._pod_known.update(entry["uid"] for entry in entries)
        finally:
            for descriptor in fds:
                os.close(descriptor)
        return results

    async def _start_processes(self, batch: Sequence[Message]) -> Sequence[Message | Exception]:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Message]] = [loop.create_future() for _ in batch]
        for spec, future in zip(batch, futures, strict=True):
            self._starting[spec["id"]] = future
        await self.processes.request("start", containers=list(batch))
        await asyncio.wait(futures)
        return [future.exception() or future.result() for future in futures]  # type: ignore[misc]

    async def _start_standins(
        self, batch: Sequence[tuple[Message, str]]
    ) -> Sequence[Message | Exception]:
        fds, results = _open_all([netns for _, netns in batch])
        specs = [spec for (spec, _), bad in zip(batch, results, strict=True) if bad is None]
        try:
            answer = await self.standins.request("start", containers=specs, fds=fds)
        finally:
            for descriptor in fds:
                os.close(descriptor)
        states = iter(answer["containers"])
        return [next(states) if bad is None else bad for bad in results]

    async def _remove_pods(self, uids: Sequence[str]) -> Sequence[None]:
        self._pod_known.difference_update(uids)
        await self.standins.request("remove-pods", uids=list(uids))
        await self.processes.request("remove-pods", uids=list(uids))
        return [None] * len(uids)

    # Events

    def _event(self, event: Event) -> None:
        container = event["container"]
        future = self._starting.get(container["id"])
        if future is not None and event["event"] in ("started", "failed"):
            del self._starting[container["id"]]
            if not future.done():
                future.set_result(container)
        elif event["event"] == "entered":
            self.on_entered(container)
        elif event["event"] in ("exited", "failed"):
            self.on_exit(container)

    def _lost(self, kind: str) -> None:
        log.warning("runtime lost", extra={"kv": {"node": self._directory.name, "kind": kind}})
        if kind == PROCESS:
            error = DataplaneError(self._directory.name, "start", stderr="the supervisor has ended")
            for future in self._starting.values():
                if not future.done():
                    future.set_exception(error)
            self._starting.clear()
            self._pod_known.clear()
        self.on_lost(kind)


def _open_all(paths: Sequence[str]) -> tuple[list[int], list[None | Exception]]:
    """Descriptors of those that can be opened; an error in the place of each other one."""
    fds: list[int] = []
    results: list[None | Exception] = []
    for path in paths:
        try:
            fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            results.append(None)
        except OSError as error:
            results.append(DataplaneError(path, "open the pod's namespace", errno=error.errno or 0))
    return fds, results


def meta_of(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Our notes that a runtime kept with a container."""
    return container.get("meta") or {}
