"""Commands executed in running containers, each for the client that asked, and readers of output.

https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/
"""

from __future__ import annotations

import os

from netemu.node.supervisor import ending, records
from netemu.node.supervisor.connection import Connection
from netemu.node.supervisor.records import Attachment, Command, Container
from netemu.node.supervisor.reports import Reports
from netemu.node.supervisor.starter import Starter
from netemu.node.supervisor.wire import Message


class Commands:
    def __init__(self, starter: Starter, reports: Reports) -> None:
        self._starter = starter
        self._reports = reports
        self._by_pid: dict[int, Command] = {}

    def start(
        self, container: Container | None, client: Connection, message: Message, fds: list[int]
    ) -> None:
        """Run a command; answers the client itself. ValueError when the container does not run."""
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
        self._by_pid[started.pid] = Command(message["exec"], client)
        self._reports.expect(started, lambda why: self._reported(started.pid, why))
        answer = {"seq": message["seq"], "pid": started.pid}
        client.send(answer, (started.terminal,) if started.terminal >= 0 else ())

    def signal(self, client: Connection, number: int, signal: int) -> None:
        """Signal the client's own command `number`."""
        for pid, command in self._by_pid.items():
            if command.number == number and command.client is client:
                ending.send(pid, signal)

    def ended(self, pid: int, status: int) -> None:
        """A child has ended that was no container."""
        command = self._by_pid.pop(pid, None)
        if command is not None:
            code, number = ending.exit_of(status)
            event = {"event": "exec-exited", "exec": command.number, "code": code, "signal": number}
            command.client.send(event)

    def _reported(self, pid: int, why: Message) -> None:
        command = self._by_pid.get(pid)
        if command is not None and why:
            command.client.send({"event": "exec-failed", "exec": command.number, **why})
            del self._by_pid[pid]


def attach(
    container: Container | None, client: Connection, message: Message, fds: list[int]
) -> None:
    """Pass a container's output on to two descriptors; answers with its input, if any."""
    if container is None or container.state != records.RUNNING:
        for descriptor in fds:
            os.close(descriptor)
        raise ValueError("container is not running")
    for descriptor in fds:
        os.set_blocking(descriptor, False)
    container.attached.append(Attachment(fds[0], fds[-1]))
    client.send({"seq": message["seq"]}, _entry(container, once=bool(message.get("once"))))


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
