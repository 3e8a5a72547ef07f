"""Commands and connections inside pods, as the API server streams them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import suppress

from netemu.client.kubelet import Output
from netemu.node.supervisor.client import Exec, StartRefused

_READ = 1 << 16


class _Input:
    """A descriptor that we write to, in the loop's time."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        while view and self._descriptor >= 0:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                ready = loop.create_future()
                loop.add_writer(self._descriptor, _resolve, ready)
                try:
                    await ready
                finally:
                    loop.remove_writer(self._descriptor)
            except OSError:
                return  # the command reads no more

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Outputs:
    """Descriptors that we read from until all of them have ended."""

    def __init__(self, descriptors: dict[int, int]) -> None:
        self._open = dict(descriptors)
        """Descriptor → stream number."""
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._found: list[Output] = []
        for descriptor in self._open:
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody has the terminal open any more
        if data:
            self._found.append(Output(self._open[descriptor], data))
            self._loop.remove_reader(descriptor)  # until it was taken: no faster than the reader
        else:
            self._end(descriptor)
        self._ready.set()

    def _end(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        del self._open[descriptor]
        os.close(descriptor)

    async def all(self) -> AsyncIterator[Output]:
        while self._open or self._found:
            await self._ready.wait()
            self._ready.clear()
            found, self._found = self._found, []
            for output in found:
                yield output
            for descriptor in self._open:
                self._loop.add_reader(descriptor, self._read, descriptor)

    def close(self) -> None:
        for descriptor in list(self._open):
            self._end(descriptor)
        self._ready.set()


class CommandSession:
    """A command that runs in a container: `client.kubelet.ExecSession`."""

    def __init__(self, running: Exec, stdin: int, outputs: dict[int, int]) -> None:
        self._running = running
        self._terminal = running.terminal
        self._input = _Input(stdin) if stdin >= 0 else None
        self._outputs = _Outputs(outputs)

    async def write(self, data: bytes) -> None:
        if self._input is not None:
            await self._input.write(data)

    async def close_stdin(self) -> None:
        if self._input is None:
            return
        if self._terminal >= 0:
            await self._input.write(b"\x04")  # a terminal's end of input
        else:
            self._input.close()

    async def resize(self, columns: int, rows: int) -> None:
        set_size(self._terminal, columns, rows)

    async def output(self) -> AsyncIterator[Output]:
        """What it writes; why it could not run comes as standard error, as from runc."""
        async for part in self._outputs.all():
            yield part
        try:
            await self._running.wait()
        except StartRefused as error:
            yield Output(2, f"OCI runtime exec failed: exec failed: {error.stderr}\n".encode())

    async def wait(self) -> int:
        try:
            return await self._running.wait()
        except StartRefused as error:
            return error.code

    async def kill(self) -> None:
        self._running.signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        if self._input is not None:
            self._input.close()
        self._outputs.close()


class AttachSession:
    """The input and output of a container's own command."""

    def __init__(self, entry: int, outputs: dict[int, int], ended: asyncio.Future[int]) -> None:
        self._input = _Input(entry) if entry >= 0 else None
        self._terminal = entry if entry >= 0 and os.isatty(entry) else -1
        self._outputs = _Outputs(outputs)
        self._ended = ended

    async def write(self, data: bytes) -> None:
        if self._input is not None:
            await self._input.write(data)

    async def close_stdin(self) -> None:
        if self._input is not None:
            self._input.close()

    async def resize(self, columns: int, rows: int) -> None:
        set_size(self._terminal, columns, rows)

    def output(self) -> AsyncIterator[Output]:
        return self._outputs.all()

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def kill(self) -> None:
        """Detach; the container goes on."""
        if self._input is not None:
            self._input.close()
        self._outputs.close()


class SocketSession:
    """A TCP connection inside a pod's namespace: `client.kubelet.PortSession`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._sock, _READ)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def end(self) -> None:
        with suppress(OSError):  # the other side may be gone already
            self._sock.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self._sock.close()


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Tell a terminal how large it is; nothing for what is none."""
    if terminal >= 0:
        with suppress(OSError):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
