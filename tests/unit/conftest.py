"""What unit tests of several packages share: a wire to an etcd that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest


class Wire:
    """A TCP relay that can be cut, and that can lose answers: what networks do."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.lose: bytes = b""
        """Lose the answer to the next request that has this in it, and the connection."""
        self.stall: bytes = b""
        """From now on, hold back all answers on connections whose request had this in it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def join(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse connections and end those there are."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _relay(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far, into = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {out, into}
        self._writers |= ends
        if self._server is None or not self._server.is_serving():  # cut meanwhile
            for writer in ends:
                writer.transport.abort()
        asked = bytearray()
        pumps = (self._pump(near, into, asked, True), self._pump(far, out, asked, False))
        try:
            await asyncio.gather(*pumps)
        except OSError:
            pass
        finally:
            for writer in ends:
                writer.transport.abort()
            self._writers -= ends
            self._tasks.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asked: bytearray, near: bool
    ) -> None:
        while data := await source.read(1 << 16):
            if near:
                asked[:] = data if data.startswith(b"POST") else asked + data
            elif self.lose and self.lose in asked:
                self.lose = b""
                raise OSError("lost")
            elif self.stall and self.stall in asked:
                continue
            sink.write(data)
            await sink.drain()
        raise OSError("ended")


@pytest.fixture
async def wire() -> AsyncIterator[Callable[[int], Wire]]:
    """Makes wires to a port of this machine: `await (wire(port)).join()`."""
    made: list[Wire] = []

    def make(port: int) -> Wire:
        made.append(Wire(port))
        return made[-1]

    yield make
    for one in made:
        await one.cut()
