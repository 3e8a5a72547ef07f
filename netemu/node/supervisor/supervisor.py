"""The supervisor: answers requests, tells its clients of containers, and collects what has ended.

Requests (`op`) and their answers carry the same `seq`; every container event goes to all clients
that said `hello`. Nothing here depends on a client staying: after a daemon's restart `hello`
answers with all pods and containers, also those that ended meanwhile. The words are in README.md.
"""

from __future__ import annotations

import os

from netemu.node.supervisor import cgroups, commands, records, usage
from netemu.node.supervisor.commands import Commands
from netemu.node.supervisor.connection import Connection, Server
from netemu.node.supervisor.containers import Containers
from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.records import Container
from netemu.node.supervisor.reports import Reports
from netemu.node.supervisor.starter import Starter
from netemu.node.supervisor.wire import Message


class Supervisor:
    def __init__(self, loop: Loop, starter: Starter, groups: cgroups.Cgroups) -> None:
        self._loop = loop
        self._starter = starter
        self._groups = groups
        self._reports = Reports(loop)
        self._containers = Containers(
            loop, starter, groups, self._reports, self._tell_all, self.handle
        )
        self._commands = Commands(starter, self._reports)
        self._server: Server | None = None

    def serve(self, server: Server) -> None:
        """Whose clients hear of containers."""
        self._server = server

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look after."""
        return self._containers.idle

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

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._reports.hear_last(pid)
            if not self._containers.ended(pid, status):
                self._commands.ended(pid, status)

    def _tell_all(self, event: str, container: Container) -> None:
        if self._server is not None:
            self._server.broadcast({"event": event, "container": container.describe()})

    def _op_hello(self, client: Connection, message: Message, fds: list[int]) -> Message:
        client.watching = True
        return {
            "pods": self._containers.pods,
            "containers": [each.describe() for each in self._containers if not each.internal],
            "cgroups": {"version": self._groups.version, "limits": self._groups.controllers},
            "overlay": self._starter.base.overlay,
        }

    def _op_pods(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Learn pods; each brings the descriptor of its network namespace."""
        for entry, net in zip(message["pods"], fds, strict=True):
            self._containers.add_pod(entry, net)
        return {}

    def _op_start(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Start containers; each answers with an event `started` or `failed`."""
        for spec in message["containers"]:
            self._containers.start(spec)
        return {}

    def _op_signal(self, client: Connection, message: Message, fds: list[int]) -> Message:
        self._containers.signal(message["id"], message["signal"])
        return {}

    def _op_stop(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """SIGTERM now, SIGKILL after `grace` seconds. The answer comes before the end."""
        for identifier in message["ids"]:
            grace = float(message.get("grace", 0))
            self._containers.stop(identifier, grace, message.get("signal", 15))
        return {}

    def _op_remove(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Forget containers that have ended, and lazy ones."""
        for identifier in message["ids"]:
            self._containers.remove(identifier)
        return {}

    def _op_remove_pods(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """End what still runs in these pods and let go of their namespaces."""
        self._containers.remove_pods(set(message["uids"]))
        return {}

    def _op_exec(self, client: Connection, message: Message, fds: list[int]) -> None:
        """Run a command in a container; `fds` are its three streams, or none with `tty`."""
        container = self._containers.get(message["id"])
        if container is None or not self._containers.put_off(container, client, message, fds):
            self._commands.start(container, client, message, fds)

    def _op_exec_signal(self, client: Connection, message: Message, fds: list[int]) -> Message:
        self._commands.signal(client, message["exec"], message["signal"])
        return {}

    def _op_attach(self, client: Connection, message: Message, fds: list[int]) -> None:
        """Pass a container's output on to two descriptors; answers with its input, if any."""
        commands.attach(self._containers.get(message["id"]), client, message, fds)

    def _op_usage(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Processor time (ns) and memory (bytes) of every container that runs."""
        running = [each for each in self._containers if each.state == records.RUNNING]
        return {"usage": {each.id: usage.measure(each.pid, each.cgroups) for each in running}}

    def _op_helper(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Start a process of the node itself (the stand-ins), which ends with the supervisor."""
        pid = os.posix_spawn(message["argv"][0], message["argv"], {}, setsid=True)
        return {"pid": pid}

    def _op_shutdown(self, client: Connection, message: Message, fds: list[int]) -> Message:
        self._loop.running = False
        return {}
