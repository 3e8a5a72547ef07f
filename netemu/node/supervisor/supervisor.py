"""The supervisor: starts containers, keeps their logs, knows how they ended, and says so.

Requests (`op`) and their answers carry the same `seq`; every container event goes to all clients
that said `hello`. Nothing here depends on a client staying: after a daemon's restart `hello`
answers with all pods and containers, also those that ended meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

from netemu.node.supervisor import cgroups, records, usage, view
from netemu.node.supervisor.connection import Connection, Server
from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.output import Output
from netemu.node.supervisor.records import Attachment, Command, Container, Pod
from netemu.node.supervisor.starter import Started, Starter
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIDS_LIMIT = 1024
"""Processes of one container unless it says otherwise: a fork bomb stays inside."""
HOLDER = ["sleep", "infinity"]
"""What keeps the namespaces of a stand-in's container while commands run in them."""
_ALIVE = (records.STARTING, records.RUNNING)
_ENDED = (records.EXITED, records.FAILED)


class Supervisor:
    def __init__(self, loop: Loop, starter: Starter, groups: cgroups.Cgroups) -> None:
        self._loop = loop
        self._starter = starter
        self._groups = groups
        self._output = Output(loop)
        self._pods: dict[str, Pod] = {}
        self._containers: dict[str, Container] = {}
        self._by_pid: dict[int, Container] = {}
        self._commands: dict[int, Command] = {}
        self._reports: dict[int, Callable[[], None]] = {}
        """PID → how to hear whether its command could start, until that was heard."""
        self._server: Server | None = None

    def serve(self, server: Server) -> None:
        self._server = server

    @property
    def idle(self) -> bool:
        return not self._pods and not self._containers

    def handle(self, client: Connection, message: Message, fds: list[int]) -> None:
        """Run one request; a failure is its answer."""
        handler = getattr(self, "_op_" + str(message.get("op")).replace("-", "_"), None)
        try:
            if handler is None:
                raise ValueError(f"unknown request {message.get('op')!r}")
            answer = handler(client, message, fds)
        except (OSError, ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        if answer is not None and "seq" in message:
            client.send({"seq": message["seq"], **answer})

    # Requests

    def _op_hello(self, client: Connection, message: Message, fds: list[int]) -> Message:
        client.watching = True
        return {
            "pods": list(self._pods),
            "containers": [
                each.describe() for each in self._containers.values() if not each.internal
            ],
            "cgroups": {"version": self._groups.version, "limits": self._groups.controllers},
            "overlay": self._starter.base.overlay,
        }

    def _op_pods(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Learn pods; each brings the descriptor of its network namespace."""
        for entry, net in zip(message["pods"], fds, strict=True):
            if entry["uid"] in self._pods:
                os.close(net)
                continue
            pod = self._pods[entry["uid"]] = Pod(entry, net)
            if entry.get("shared"):
                self._starter.share(pod)
            if entry.get("share_pids"):
                pause = {"id": f"pause-{pod.uid}", "pod": pod.uid, "pause": True}
                pod.pause = self._start(pause, {}).pid  # its namespace is there once fork returned
        return {}

    def _op_start(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Start containers; each answers with an event `started` or `failed`."""
        for spec in message["containers"]:
            if spec["id"] in self._containers:
                continue
            if spec.get("lazy"):
                container = self._containers[spec["id"]] = Container(spec)
                container.state, container.lazy = records.LAZY, spec
            else:
                self._start_or_fail(spec)
        return {}

    def _op_signal(self, client: Connection, message: Message, fds: list[int]) -> Message:
        container = self._containers[message["id"]]
        if container.state in _ALIVE:
            os.kill(container.pid, message["signal"])
        return {}

    def _op_stop(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """SIGTERM now, SIGKILL after `grace` seconds. The answer comes before the end."""
        for identifier in message["ids"]:
            container = self._containers.get(identifier)
            if container and container.state in _ALIVE:
                self._stop(container, float(message.get("grace", 0)), message.get("signal", 15))
        return {}

    def _op_remove(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Forget containers that have ended, and lazy ones."""
        for identifier in message["ids"]:
            container = self._containers.get(identifier)
            if container and (container.lazy or container.state in _ENDED):
                self._forget(container)
        return {}

    def _op_remove_pods(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """End what still runs in these pods and let go of their namespaces."""
        uids = set(message["uids"])
        for container in list(self._containers.values()):
            if container.pod in uids:
                self._forget(container)
        for uid in uids & self._pods.keys():
            self._pods.pop(uid).close()
        return {}

    def _op_exec(self, client: Connection, message: Message, fds: list[int]) -> Message | None:
        """Run a command in a container; `fds` are its three streams, or none with `tty`."""
        container = self._containers.get(message["id"])
        if container and container.lazy and container.state in (records.LAZY, records.STARTING):
            container.waiting.append((client, message, fds))
            if container.state == records.LAZY:
                self._tell_all("entered", container)
                self._start_or_fail({**container.lazy, "argv": HOLDER})
            return None
        try:
            if container is None or container.state != records.RUNNING:
                raise ValueError("container is not running")
            terminal = bool(message.get("tty"))
            started = self._starter.command(
                container, message.get("spec") or {}, fds, terminal=terminal
            )
        except ProcessLookupError as error:  # ended, and we have not heard of it yet
            raise ValueError("container is not running") from error
        finally:
            for descriptor in fds:
                os.close(descriptor)
        self._commands[started.pid] = Command(message["exec"], client, container.id)
        self._expect(started, self._command_report)
        answer = {"seq": message["seq"], "pid": started.pid}
        client.send(answer, (started.terminal,) if started.terminal >= 0 else ())
        return None

    def _op_exec_signal(self, client: Connection, message: Message, fds: list[int]) -> Message:
        for pid, command in self._commands.items():
            if command.number == message["exec"] and command.client is client:
                _signal(pid, message["signal"])
        return {}

    def _op_attach(self, client: Connection, message: Message, fds: list[int]) -> Message | None:
        """Pass a container's output on to two descriptors; answers with its input, if any."""
        container = self._containers.get(message["id"])
        if container is None or container.state != records.RUNNING:
            for descriptor in fds:
                os.close(descriptor)
            raise ValueError("container is not running")
        for descriptor in fds:
            os.set_blocking(descriptor, False)
        container.attached.append(Attachment(fds[0], fds[-1]))
        client.send({"seq": message["seq"]}, _entry(container, once=bool(message.get("once"))))
        return None

    def _op_usage(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Processor time (ns) and memory (bytes) of every container that runs."""
        running = [each for each in self._containers.values() if each.state == records.RUNNING]
        return {"usage": {each.id: usage.measure(each.pid, each.cgroups) for each in running}}

    def _op_helper(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Start a process of the node itself (the stand-ins), which ends with the supervisor."""
        pid = os.posix_spawn(message["argv"][0], message["argv"], {}, setsid=True)
        return {"pid": pid}

    def _op_shutdown(self, client: Connection, message: Message, fds: list[int]) -> Message:
        self._loop.running = False
        return {}

    # Containers

    def _forget(self, container: Container) -> None:
        """Drop the record; what still runs is killed and drops its own."""
        if container.pid in self._by_pid:
            container.lazy = None
            _signal(container.pid, signal.SIGKILL)
        self._containers.pop(container.id, None)

    def _start_or_fail(self, spec: Message) -> None:
        limits = {"pids": PIDS_LIMIT, **(spec.get("limits") or {})}
        try:
            self._start(spec, limits)
        except (OSError, KeyError) as error:
            container = self._containers.setdefault(spec["id"], Container(spec))
            self._failed(container, f"cannot start: {error}", 128)

    def _start(self, spec: Message, limits: Message) -> Container:
        pod = self._pods[spec["pod"]]
        container = self._containers[spec["id"]] = self._record(spec)
        container.cgroups = self._groups.create(container.id, limits)
        target = self._containers.get(spec.get("pids_of") or "")
        pids = target.pid if target and target.state in _ALIVE else pod.pause
        view.limit_volumes(spec)
        started = self._starter.container(spec, pod, container.cgroups, pids)
        container.pid = started.pid
        container.stdin, container.terminal = started.stdin, started.terminal
        self._by_pid[started.pid] = container
        self._expect(started, lambda started, why: self._container_report(container, why))
        self._output.follow(container, started)
        return container

    def _record(self, spec: Message) -> Container:
        container = Container(spec)
        lazy = self._containers.get(spec["id"])
        if lazy is not None:
            container.lazy, container.waiting = lazy.lazy, lazy.waiting
        return container

    def _container_report(self, container: Container, why: Message) -> None:
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
            self.handle(client, message, fds)

    def _expect(self, started: Started, heard: Callable[[Started, Message], None]) -> None:
        """Call `heard` with why the command could not start, or with nothing once it has."""
        os.set_blocking(started.report, False)

        def hear(ended: bool = False) -> None:
            try:
                text = os.read(started.report, 4096)
            except BlockingIOError:
                if not ended:
                    return
                text = b""  # a child that was forked meanwhile has the other end open still
            del self._reports[started.pid]
            self._loop.forget(started.report)
            os.close(started.report)
            heard(started, json.loads(text) if text else {})

        self._reports[started.pid] = lambda: hear(ended=True)
        self._loop.watch(started.report, lambda _: hear())

    def _stop(self, container: Container, grace: float, number: int) -> None:
        if grace <= 0 or _would_ignore(container.pid, number):
            # Process 1 is exempt from default actions; nothing would come of waiting for it.
            if grace > 0:
                container.signal = number
            _signal(container.pid, signal.SIGKILL)
            return
        _signal(container.pid, number)
        pid = container.pid

        def kill() -> None:
            if self._by_pid.get(pid) is container:
                _signal(pid, signal.SIGKILL)

        self._loop.after(grace, kill)

    # Ends

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._reports:
                self._reports[pid]()  # its end may be told to us before what it said
            if pid in self._by_pid:
                self._ended(self._by_pid.pop(pid), status)
            elif pid in self._commands:
                self._command_ended(self._commands.pop(pid), status)

    def _ended(self, container: Container, status: int) -> None:
        self._output.finish(container)
        container.oom = cgroups.out_of_memory(container.cgroups)
        self._groups.remove(container.cgroups)
        if container.message:
            self._failed(container, container.message, container.code)
        else:
            container.code, container.signal = _exit_of(status, container.signal)
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

    def _command_report(self, started: Started, why: Message) -> None:
        command = self._commands.get(started.pid)
        if command is not None and why:
            event = {"event": "exec-failed", "exec": command.number, **why}
            command.client.send(event)
            del self._commands[started.pid]

    def _command_ended(self, command: Command, status: int) -> None:
        code, number = _exit_of(status, 0)
        event = {"event": "exec-exited", "exec": command.number, "code": code, "signal": number}
        command.client.send(event)

    def _tell(self, event: str, container: Container) -> None:
        known = self._containers.get(container.id) is container
        if known and not container.lazy and not container.internal:
            self._tell_all(event, container)

    def _tell_all(self, event: str, container: Container) -> None:
        if self._server is not None:
            self._server.broadcast({"event": event, "container": container.describe()})


def _exit_of(status: int, meant: int) -> tuple[int, int]:
    """Exit code as Kubernetes shows it, and the signal; `meant` is one we stood in for."""
    if os.WIFSIGNALED(status):
        number = meant or os.WTERMSIG(status)
        return 128 + number, number
    return os.WEXITSTATUS(status), 0


def _entry(container: Container, *, once: bool) -> tuple[int, ...]:
    """A descriptor of a container's input to give away; with `once`, the last one there is."""
    if container.terminal >= 0:
        return (os.dup(container.terminal),)
    if container.stdin < 0:
        return ()
    given = container.stdin if once else os.dup(container.stdin)
    if once:
        container.stdin = -1
    return (given,)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _would_ignore(pid: int, number: int) -> bool:
    """Whether process 1 of a namespace leaves this signal to a default action it doesn't get."""
    try:
        with open(f"/proc/{pid}/status") as status:
            masks = dict(line.split(":\t") for line in status if line.startswith("Sig"))
    except (OSError, ValueError):
        return False
    bit = 1 << (number - 1)
    return not any(int(masks[name], 16) & bit for name in ("SigCgt", "SigBlk", "SigIgn"))
