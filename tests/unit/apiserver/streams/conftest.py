import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from netemu.api.kinds import PODS
from netemu.client.kubelet import LogOptions, Output
from netemu.errors import ApiError


class Process:
    """An ExecSession over a real process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.sizes: list[tuple[int, int]] = []

    async def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        self.process.stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def output(self) -> AsyncIterator[Output]:
        found: asyncio.Queue[Output | None] = asyncio.Queue(maxsize=4)

        async def read(stream: int, reader: asyncio.StreamReader) -> None:
            while data := await reader.read(65536):
                await found.put(Output(stream, data))
            await found.put(None)

        tasks = [
            asyncio.get_running_loop().create_task(read(1, self.process.stdout)),
            asyncio.get_running_loop().create_task(read(2, self.process.stderr)),
        ]
        try:
            ended = 0
            while ended < 2:
                output = await found.get()
                if output is None:
                    ended += 1
                else:
                    yield output
        finally:
            for task in tasks:
                task.cancel()

    async def wait(self) -> int:
        code = await self.process.wait()
        return code if code >= 0 else 128 - code

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


class Port:
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
        await self._writer.wait_closed()


class HostKubelet:
    """A kubelet whose containers are this machine: a KubeletApi for tests without namespaces."""

    def __init__(self) -> None:
        self.sessions: list[Process] = []
        self.asked: list[LogOptions] = []

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
            made = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, stderr=-1)
        except FileNotFoundError as error:
            raise ApiError("InternalError", f"cannot run {command[0]}: {error}") from error
        self.sessions.append(Process(made))
        return self.sessions[-1]

    async def attach(self, namespace: str, pod: str, container: str, **more: bool) -> Process:
        return await self.exec(namespace, pod, container, ["cat"])

    async def connect(self, namespace: str, pod: str, port: int) -> Port:
        return Port(*await asyncio.open_connection("127.0.0.1", port))


@pytest.fixture
def kubelet() -> HostKubelet:
    return HostKubelet()


@pytest.fixture
async def server(make_server, kubelet):
    """A server with one running pod, `web`, of the containers `main` and `side`."""
    made = await make_server(kubelets=lambda node: kubelet)
    containers = [{"name": name, "image": "x"} for name in ("main", "side")]
    await made.local_client().create(
        PODS,
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "node-1", "containers": containers},
        },
    )
    return made
