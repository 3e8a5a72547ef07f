"""HTTP/1.1 on asyncio streams: as much as an API client needs, and no more.

aiohttp is the better client, but importing it costs 150 ms, which is more than a resolver pod or a
command line may take to start. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LIMIT = 1 << 20
_MOST_IDLE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is: a unix socket, or host and port, with TLS when `tls` is given."""

    path: str = ""
    host: str = "localhost"
    port: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str, *, tls: ssl.SSLContext | None = None) -> Address:
        """`unix:/path`, `http://host:port` or `https://host:port`."""
        if url.startswith("unix:"):
            return cls(path=url.removeprefix("unix:").removeprefix("//"))
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        if secure and tls is None:
            tls = ssl.create_default_context()
        return cls(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if secure else 80),
            tls=tls if secure else None,
        )

    def __str__(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"unix:{self.path}" if self.path else f"{scheme}://{self.host}:{self.port}"


@dataclass(slots=True)
class Response:
    """The head of an answer, and the connection on which its body follows."""

    status: int
    headers: dict[str, str]
    """By lower-case name, the last of each."""
    connection: Connection
    fields: tuple[tuple[str, str], ...] = ()
    """All headers as they came."""

    async def read(self) -> bytes:
        """The whole body; the connection can be used again afterwards."""
        return b"".join([part async for part in self.parts()])

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        reader = self.connection.reader
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
                async for part in _exactly(reader, size):
                    yield part
                await reader.readexactly(2)
            while (await reader.readuntil(b"\n")).strip():
                pass
        elif "content-length" in self.headers:
            async for part in _exactly(reader, int(self.headers["content-length"])):
                yield part
        elif self.status not in (204, 304):
            while part := await reader.read(65536):
                yield part
            self.connection.reusable = False
        self.connection.finished = True


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    """The next `size` bytes as they come; EOFError when the connection ends before."""
    while size:
        part = await reader.read(size)
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
        yield part


@dataclass(slots=True)
class Connection:
    """One kept open between requests; `usable` when the last answer was read to its end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    reusable: bool = True
    finished: bool = False
    """The last answer was read to its end."""

    @property
    def usable(self) -> bool:
        return self.reusable and self.finished and not self.reader.at_eof()

    def close(self) -> None:
        self.writer.close()


@dataclass(slots=True)
class Pool:
    """Connections to one server, kept for the next request."""

    address: Address
    _idle: deque[Connection] = field(default_factory=deque)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """Send a request; OSError or EOFError when the server cannot be reached.

        Read the answer, then give it to `release`. A kept connection that the server has closed
        meanwhile is replaced, if nothing of the answer came.
        """
        request = self._head(method, target, headers, body)
        while True:
            kept = self._take_idle()
            connection = kept or await self._connect()
            try:
                connection.finished = False
                connection.writer.write(request)
                await connection.writer.drain()
                return await read_head(connection)
            except (OSError, EOFError):
                connection.close()
                if kept is None:
                    raise
            except BaseException:
                connection.close()
                raise

    def _head(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")

    @property
    def _host(self) -> str:
        address = self.address
        return "localhost" if address.path else f"{address.host}:{address.port}"

    def release(self, response: Response) -> None:
        """The answer is no longer needed."""
        connection = response.connection
        if connection.usable and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        address = self.address
        if address.path:
            reader, writer = await asyncio.open_unix_connection(address.path, limit=_LIMIT)
        else:
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=address.tls, limit=_LIMIT
            )
        return Connection(reader, writer)

    async def close(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            try:
                await connection.writer.wait_closed()
            except OSError:
                continue


async def read_head(connection: Connection) -> Response:
    """Read status line and headers; the body follows on the connection."""
    raw = await connection.reader.readuntil(b"\r\n\r\n")
    start, *lines = raw.decode("latin-1").split("\r\n")
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name, value.strip()))
    headers = {name.lower(): value for name, value in fields}
    version, status, *_ = start.split(" ")
    if version == "HTTP/1.0" or headers.get("connection", "").lower() == "close":
        connection.reusable = False
    return Response(int(status), headers, connection, tuple(fields))
