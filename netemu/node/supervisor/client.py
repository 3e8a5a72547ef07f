"""The daemon's side of the supervisor (and of the stand-ins, which speak the same way)."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netemu.errors import DataplaneError
from netemu.node.supervisor import wire

_ROOT = Path(__file__).resolve().parents[3]
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from netemu.node.{package}.main import main; main(sys.argv[2:])"
)
_encode = msgspec.json.Encoder().encode
Event = Mapping[str, Any]


def boot_command(package: str, *arguments: str) -> list[str]:
    """The command of one of our lean processes: no site-packages, nothing from the environment."""
    boot = _BOOT.format(package=package)
    return [sys.executable, "-S", "-I", "-c", boot, str(_ROOT), *arguments]


async def launch(
    directory: Path, cgroup: str, record: Callable[[int, int], None] = lambda pid, start: None
) -> tuple[int, int]:
    """Start a supervisor that keeps its socket in `directory`; its (PID, start time).

    `cgroup` names its control groups. It does nothing until `record(PID, start time)` has returned,
    and ends by itself when we are gone by then. Raises DataplaneError when one runs there already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *boot_command("supervisor", str(directory), cgroup),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        words = (await process.stdout.readline()).split()
        if len(words) == 2:
            pid, start = int(words[0]), int(words[1])
            record(pid, start)
            process.stdin.write(b"1")
            if (await process.stdout.readline()).strip() == b"ready":
                return pid, start
        why = (await process.stderr.read()).decode()
        raise DataplaneError(directory.name, "start the supervisor", stderr=why)
    finally:
        process.stdin.close()  # without the byte, that ends both
        await process.wait()


class StartRefused(DataplaneError):
    """A command that could not run; `code` is the exit code that Kubernetes shows for it."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__("container", "start", stderr=why)
        self.code = code


class SupervisorClient:
    """One connection. `on_event` gets every event; `on_lost` is called when the process is gone."""

    def __init__(
        self,
        path: Path,
        on_event: Callable[[Event], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._on_event = on_event
        self._on_lost = on_lost
        self._sock: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[tuple[wire.Message, list[int]]]] = {}
        self._execs: dict[int, asyncio.Future[int]] = {}
        self._out: list[tuple[bytes, tuple[int, ...]]] = []

    @property
    def connected(self) -> bool:
        return self._sock is not None

    async def connect(self) -> wire.Message:
        """Connect and say hello; returns what the process knows of pods and containers."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, str(self.path))
        except OSError as error:
            sock.close()
            raise DataplaneError(str(self.path), "connect", errno=error.errno or 0) from error
        self._sock = sock
        self._reader = wire.Reader(sock)
        asyncio.get_running_loop().add_reader(sock, self._receive)
        return await self.request("hello")

    async def close(self) -> None:
        """Disconnect; the process goes on, and nobody is told that it was lost."""
        on_lost, self._on_lost = self._on_lost, lambda: None
        self._drop()
        self._on_lost = on_lost

    async def request(self, op: str, *, fds: Sequence[int] = (), **fields: Any) -> wire.Message:
        """Send a request and wait for its answer. The caller keeps (and closes) `fds`."""
        answer, received = await self._exchange(op, fds, fields)
        for descriptor in received:
            os.close(descriptor)
        return answer

    async def _exchange(
        self, op: str, fds: Sequence[int], fields: Mapping[str, Any]
    ) -> tuple[wire.Message, list[int]]:
        if self._sock is None:
            raise DataplaneError(str(self.path), op, stderr="not connected")
        number = next(self._numbers)
        future = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        message = {"op": op, "seq": number, **fields}
        if fds:
            message["fds"] = len(fds)
        self._out.append((wire.frame(_encode(message)), tuple(os.dup(fd) for fd in fds)))
        self._flush()
        answer, received = await future
        if "error" in answer:
            raise DataplaneError(str(self.path), op, stderr=answer["error"])
        return answer, received

    def post(self, op: str, **fields: Any) -> None:
        """Send a request whose answer nobody needs."""
        if self._sock is not None:
            self._out.append((wire.frame(_encode({"op": op, **fields})), ()))
            self._flush()

    def _flush(self) -> None:
        sock = self._sock
        if sock is None:
            return
        loop = asyncio.get_running_loop()
        while self._out:
            data, fds = self._out[0]
            try:
                sent = wire.send(sock, data, fds)
            except BlockingIOError:
                loop.add_writer(sock, self._flush)
                return
            except OSError:
                self._drop()
                return
            for descriptor in fds:
                os.close(descriptor)
            if sent < len(data):
                self._out[0] = (data[sent:], ())
            else:
                del self._out[0]
        loop.remove_writer(sock)

    def _receive(self) -> None:
        try:
            messages = self._reader.read()
        except BlockingIOError:
            return
        except OSError:
            self._drop()
            return
        for message, fds in messages:
            self._handle(message, fds)
        if self._reader.closed:
            self._drop()

    def _handle(self, message: wire.Message, fds: list[int]) -> None:
        if "seq" in message:
            future = self._answers.pop(message["seq"], None)
            if future is not None and not future.done():
                future.set_result((message, fds))
                return
        elif message.get("event") in ("exec-exited", "exec-failed"):
            ended = self._execs.pop(message["exec"], None)
            if ended is not None and not ended.done():
                _finish(ended, message)
        else:
            self._on_event(message)
        for descriptor in fds:
            os.close(descriptor)

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)
        sock.close()
        for _, fds in self._out:
            for descriptor in fds:
                os.close(descriptor)
        self._out.clear()
        lost = DataplaneError(str(self.path), "wait for an answer", stderr="connection lost")
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._execs.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(lost)
                future.exception()  # retrieved: whoever waits still gets it
        self._answers.clear()
        self._execs.clear()
        self._on_lost()

    async def start_exec(
        self, container: str, spec: Mapping[str, Any], fds: Sequence[int], *, tty: bool = False
    ) -> Exec:
        """Run `spec["argv"]` in a container with `fds` as its streams (none with `tty`)."""
        number = next(self._numbers)
        ended = self._execs[number] = asyncio.get_running_loop().create_future()
        fields = {"id": container, "exec": number, "spec": dict(spec), "tty": tty}
        try:
            _, received = await self._exchange("exec", fds, fields)
        except BaseException:
            self._execs.pop(number, None)
            raise
        return Exec(self, number, ended, received[0] if received else -1)

    async def attach(self, container: str, stdout: int, stderr: int, *, once: bool = False) -> int:
        """Copy a container's output to descriptors; returns one to its input, or -1.

        With `once` its input ends when that one is closed.
        """
        fields = {"id": container, "once": once}
        _, received = await self._exchange("attach", (stdout, stderr), fields)
        return received[0] if received else -1


class Exec:
    """A command that was started in a container; `terminal` is its master side, or -1."""

    def __init__(
        self, client: SupervisorClient, number: int, ended: asyncio.Future[int], terminal: int
    ) -> None:
        self.terminal = terminal
        self._client, self._number, self._ended = client, number, ended

    async def wait(self) -> int:
        """Its exit code, 128 + N for signal N. A command that can't run: StartRefused."""
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        self._client.post("exec-signal", exec=self._number, signal=number)


def _finish(future: asyncio.Future[int], message: wire.Message) -> None:
    if message["event"] == "exec-exited":
        future.set_result(message["code"])
        return
    future.set_exception(StartRefused(message["message"], message["code"]))
    future.exception()
