"""A kubelet whose containers are this machine: a KubeletApi for tests without namespaces."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from netemu.client.kubelet import LogOptions, Output, Page
from netemu.errors import ApiError


class Process:
    """An ExecSession over a real process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.sizes: list[tuple[int, int]] = []

    async def write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        self._process.stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def output(self) -> AsyncIterator[Output]:
        found: asyncio.Queue[Output | None] = asyncio.Queue(maxsize=4)

        async def read(stream: int, reader: asyncio.StreamReader) -> None:
            while data := await reader.read(65536):
                await found.put(Output(stream, data))
            await found.put(None)

        loop = asyncio.get_running_loop()
        readers = ((1, self._process.stdout), (2, self._process.stderr))
        tasks = [loop.create_task(read(stream, reader)) for stream, reader in readers]
        try:
            ended = 0
            while ended < len(tasks):
                output = await found.get()
                if output is None:
                    ended += 1
                else:
                    yield output
        finally:
            for task in tasks:
                task.cancel()

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Not Process.kill: it polls first, and may take the exit code from the waiter.
                os.kill(self._process.pid, signal.SIGKILL)


class Port:
    """A PortSession over a TCP connection to this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()


class HostKubelet:
    """Every pod and container is this machine; commands run in `folder`.

    `sessions` and `asked` tell what was run, and which logs were wanted.
    """

    attached = ("cat",)
    """What a container's own process does."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.sessions: list[Process] = []
        self.asked: list[LogOptions] = []
        self.dialled: list[tuple[str, int]] = []

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            raise ApiError("BadRequest", f'previous terminated container in pod "{pod}" not found')
        for number in range(3):
            yield f"line {number}\n".encode()

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], **more: bool
    ) -> Process:
        try:
            made = await asyncio.create_subprocess_exec(
                *command, stdin=-1, stdout=-1, stderr=-1, cwd=self._folder
            )
        except FileNotFoundError as error:
            raise ApiError("InternalError", f"cannot run {command[0]}: {error}") from error
        self.sessions.append(Process(made))
        return self.sessions[-1]

    async def attach(self, namespace: str, pod: str, container: str, **more: bool) -> Process:
        return await self.exec(namespace, pod, container, self.attached)

    async def connect(self, namespace: str, pod: str, port: int) -> Port:
        return Port(*await asyncio.open_connection("127.0.0.1", port))

    async def dial(self, address: str, port: int) -> socket.socket:
        """Every address is this machine."""
        self.dialled.append((address, port))
        made = socket.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return made

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one "
            yield query.get("word", "two").encode()

        if path == "/logs/long":
            return Page(parts=parts())
        return Page(body=b"ok") if path == "/healthz" else Page(status=404, body=b"no\n")
