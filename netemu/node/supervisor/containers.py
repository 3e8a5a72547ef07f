"""The containers of a node: their start, their end, and what is told of both.

A container's command is process 1 of its own PID namespace, so that a signal which it leaves to
the default action does nothing, and its end is the end of all that it started. pid_namespaces(7)
"""

from __future__ import annotations

import os
import signal
import time

from netemu.node.supervisor import cgroups, ending, records, view
from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.output import Output
from netemu.node.supervisor.records import Container, Pod
from netemu.node.supervisor.reports import Reports
from netemu.node.supervisor.starter import Starter
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netemu.node.supervisor.connection import Connection

PIDS_LIMIT = 1024
"""Processes of one container unless it says otherwise: a fork bomb stays inside."""
HOLDER = ["sleep", "infinity"]
"""What keeps the namespaces of a stand-in's container while commands run in them."""
_ALIVE = (records.STARTING, records.RUNNING)
_ENDED = (records.EXITED, records.FAILED)


class Containers:
    """All of them by their ids. `tell` hears (event, container); `again` gets requests that
    waited until a container runs."""

    def __init__(
        self,
        loop: Loop,
        starter: Starter,
        groups: cgroups.Cgroups,
        reports: Reports,
        tell: Callable[[str, Container], None],
        again: Callable[[Connection, Message, list[int]], None],
    ) -> None:
        self._loop = loop
        self._starter = starter
        self._groups = groups
        self._reports = reports
        self._tell_all = tell
        self._again = again
        self._output = Output(loop)
        self._pods: dict[str, Pod] = {}
        self._known: dict[str, Container] = {}
        self._by_pid: dict[int, Container] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._known.values()))

    def get(self, identifier: str) -> Container | None:
        return self._known.get(identifier)

    @property
    def pods(self) -> list[str]:
        """Uids of the pods that are known."""
        return list(self._pods)

    @property
    def idle(self) -> bool:
        return not self._pods and not self._known

    def add_pod(self, entry: Message, net: int) -> None:
        """Learn a pod and keep the descriptor of its network namespace."""
        if entry["uid"] in self._pods:
            os.close(net)
            return
        pod = self._pods[entry["uid"]] = Pod(entry, net)
        if entry.get("shared"):
            self._starter.share(pod)
        if entry.get("share_pids"):
            pause = {"id": f"pause-{pod.uid}", "pod": pod.uid, "pause": True}
            pod.pause = self._start(pause, {}).pid  # its namespace is there once fork returned

    def remove_pods(self, uids: set[str]) -> None:
        """End what still runs in these pods and let go of their namespaces."""
        for container in self:
            if container.pod in uids:
                self._forget(container)
        for uid in uids & self._pods.keys():
            self._pods.pop(uid).close()

    def start(self, spec: Message) -> None:
        """Start a container, or learn a lazy one; it tells of itself: `started` or `failed`."""
        if spec["id"] in self._known:
            return
        if spec.get("lazy"):
            container = self._known[spec["id"]] = Container(spec)
            container.state, container.lazy = records.LAZY, spec
        else:
            self._start_or_fail(spec)

    def put_off(
        self, container: Container, client: Connection, message: Message, fds: list[int]
    ) -> bool:
        """Whether the request must wait because a lazy container only starts now."""
        if not container.lazy or container.state not in (records.LAZY, records.STARTING):
            return False
        container.waiting.append((client, message, fds))
        if container.state == records.LAZY:
            self._tell_all("entered", container)
            self._start_or_fail({**container.lazy, "argv": HOLDER})
        return True

    def signal(self, identifier: str, number: int) -> None:
        """KeyError for a container that is not known; one that has ended hears nothing."""
        container = self._known[identifier]
        if container.state in _ALIVE:
            os.kill(container.pid, number)

    def stop(self, identifier: str, grace: float, number: int) -> None:
        """The signal `number` now, SIGKILL after `grace` seconds."""
        container = self._known.get(identifier)
        if container and container.state in _ALIVE:
            self._stop(container, grace, number)

    def remove(self, identifier: str) -> None:
        """Forget a container that has ended, or a lazy one."""
        container = self._known.get(identifier)
        if container and (container.lazy or container.state in _ENDED):
            self._forget(container)

    def ended(self, pid: int, status: int) -> bool:
        """A child has ended; whether it was a container."""
        container = self._by_pid.pop(pid, None)
        if container is not None:
            self._ended(container, status)
        return container is not None

    def _forget(self, container: Container) -> None:
        """Drop the record; what still runs is killed and drops its own."""
        if container.pid in self._by_pid:
            container.lazy = None
            ending.send(container.pid, signal.SIGKILL)
        self._known.pop(container.id, None)

    def _start_or_fail(self, spec: Message) -> None:
        limits = {"pids": PIDS_LIMIT, **(spec.get("limits") or {})}
        try:
            self._start(spec, limits)
        except (OSError, KeyError) as error:
            container = self._known.setdefault(spec["id"], Container(spec))
            self._failed(container, f"cannot start: {error}", 128)

    def _start(self, spec: Message, limits: Message) -> Container:
        pod = self._pods[spec["pod"]]
        view.limit_volumes(spec)
        container = self._known[spec["id"]] = self._record(spec)
        container.cgroups = self._groups.create(container.id, limits)
        target = self._known.get(spec.get("pids_of") or "")
        pids = target.pid if target and target.state in _ALIVE else pod.pause
        started = self._starter.container(spec, pod, container.cgroups, pids)
        container.pid = started.pid
        container.stdin, container.terminal = started.stdin, started.terminal
        self._by_pid[started.pid] = container
        self._reports.expect(started, lambda why: self._reported(container, why))
        self._output.follow(container, started)
        return container

    def _record(self, spec: Message) -> Container:
        container = Container(spec)
        lazy = self._known.get(spec["id"])
        if lazy is not None:
            container.lazy, container.waiting = lazy.lazy, lazy.waiting
        return container

    def _reported(self, container: Container, why: Message) -> None:
        if why:
            container.message, container.code = why["message"], why["code"]
            return  # its exit follows, and says that it failed
        if container.state == records.STARTING:
            container.state, container.started = records.RUNNING, time.time()
            self._tell("started", container)
            self._run_waiting(container)

    def _run_waiting(self, container: Container) -> None:
        waiting, container.waiting = container.waiting, []
        for client, message, fds in waiting:
            self._again(client, message, fds)

    def _stop(self, container: Container, grace: float, number: int) -> None:
        if grace <= 0 or ending.would_ignore(container.pid, number):
            # Process 1 is exempt from default actions; nothing would come of waiting for it.
            if grace > 0:
                container.signal = number
            ending.send(container.pid, signal.SIGKILL)
            return
        ending.send(container.pid, number)
        pid = container.pid

        def kill() -> None:
            if self._by_pid.get(pid) is container:
                ending.send(pid, signal.SIGKILL)

        self._loop.after(grace, kill)

    def _ended(self, container: Container, status: int) -> None:
        self._output.finish(container)
        container.oom = cgroups.out_of_memory(container.cgroups)
        self._groups.remove(container.cgroups)
        if container.message:
            self._failed(container, container.message, container.code)
        else:
            container.code, container.signal = ending.exit_of(status, container.signal)
            container.state, container.finished = records.EXITED, time.time()
            if not container.started:
                container.started = container.finished
            self._tell("exited", container)
        if container.lazy:
            container.state = records.LAZY  # the next command gets a new view

    def _failed(self, container: Container, message: str, code: int) -> None:
        container.message, container.code = message, code
        container.state, container.finished = records.FAILED, time.time()
        self._tell("failed", container)
        self._run_waiting(container)

    def _tell(self, event: str, container: Container) -> None:
        known = self._known.get(container.id) is container
        if known and not container.lazy and not container.internal:
            self._tell_all(event, container)
