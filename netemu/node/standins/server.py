"""Requests to the stand-ins: the same words as the supervisor's, as far as they apply."""

from __future__ import annotations

import os
import signal

from netemu.node.standins import sockets
from netemu.node.standins.container import StandIn
from netemu.node.supervisor.connection import Connection, Server
from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.wire import Message

_POLL = 0.05
_MEMORY = 32 * 1024


class StandIns:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._containers: dict[str, StandIn] = {}
        self._server: Server | None = None

    def serve(self, server: Server) -> None:
        self._server = server

    def handle(self, client: Connection, message: Message, fds: list[int]) -> None:
        """Run one request; a failure is its answer."""
        handler = getattr(self, "_op_" + str(message.get("op")).replace("-", "_"), None)
        try:
            if handler is None:
                raise ValueError(f"unknown request {message.get('op')!r}")
            answer = handler(client, message, fds)
        except (OSError, ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        finally:
            for descriptor in fds:
                os.close(descriptor)
        if "seq" in message:
            client.send({"seq": message["seq"], **answer})

    def _op_hello(self, client: Connection, message: Message, fds: list[int]) -> Message:
        client.watching = True
        return {"containers": [container.describe() for container in self._containers.values()]}

    def _op_start(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Start stand-ins; each brings its pod's network namespace. The answer has their states."""
        states = []
        for spec, netns in zip(message["containers"], fds, strict=True):
            container = self._containers.get(spec["id"])
            if container is None:
                container = self._start(spec, netns)
            states.append(container.describe())
        return {"containers": states}

    def _start(self, spec: Message, netns: int) -> StandIn:
        container = self._containers[spec["id"]] = StandIn(spec, self._loop)
        ports = spec.get("ports") or []
        try:
            container.listen(sockets.open_all(netns, ports) if ports else [], ports)
        except OSError as error:
            container.write_error(f"{spec.get('name')}: {error.strerror or error}")
            container.end(1)
        return container

    def _op_usage(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Processor time (ns) spent on each container's answers, and about what one costs."""
        return {"usage": {each.id: (each.spent, _MEMORY) for each in self._containers.values()}}

    def _op_stop(self, client: Connection, message: Message, fds: list[int]) -> Message:
        """Stop serving now; exit when the last answer is out, or after `grace` seconds."""
        grace = float(message.get("grace", 0))
        for identifier in message["ids"]:
            container = self._containers.get(identifier)
            if container is None or container.state != "running":
                continue
            if grace <= 0:
                self._end(container, 128 + signal.SIGKILL, signal.SIGKILL)
                continue
            container.stop()
            self._finish(container, grace)
        return {}

    def _finish(self, container: StandIn, left: float) -> None:
        if container.state != "running":
            return
        if not container.busy:
            self._end(container, 0)
        elif left <= 0:
            self._end(container, 128 + signal.SIGKILL, signal.SIGKILL)
        else:
            self._loop.after(_POLL, lambda: self._finish(container, left - _POLL))

    def _end(self, container: StandIn, code: int, number: int = 0) -> None:
        container.end(code, number)
        if self._server is not None:
            self._server.broadcast({"event": "exited", "container": container.describe()})

    def _op_remove(self, client: Connection, message: Message, fds: list[int]) -> Message:
        for identifier in message["ids"]:
            container = self._containers.pop(identifier, None)
            if container is not None and container.state == "running":
                container.end(0)
        return {}

    def _op_remove_pods(self, client: Connection, message: Message, fds: list[int]) -> Message:
        uids = set(message["uids"])
        for identifier, container in list(self._containers.items()):
            if container.spec["pod"] in uids:
                self._op_remove(client, {"ids": [identifier]}, [])
        return {}
