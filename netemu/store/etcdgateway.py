"""Talking to etcd's HTTP/JSON gateway: one request, or a stream of answers; TLS; what errors mean.

The gateway needs no gRPC on our side. With `--client-cert-auth` etcd's own certificate must also be
good for clients (kubeadm's is), because the gateway is a client of etcd itself.
https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from netemu.store.protocol import CompactedError, FutureRevisionError, StoreError

_SECONDS = 10.0
_decode = msgspec.json.Decoder().decode

_UNSURE = ("request timed out", "leader changed", "server stopped", "context deadline exceeded")
"""What etcd says of a proposal that may still be carried out."""
_HINTS = {
    "database space exceeded": (
        "etcd has reached its quota and only reads now: compact and defragment it, then"
        " `etcdctl alarm disarm`; nothing acknowledged is lost"
    ),
    "no leader": "most members of etcd are away: look at `etcdctl endpoint status --cluster`",
    "request is too large": "an object is larger than etcd's --max-request-bytes",
    "too many requests": "etcd is overloaded; it is asked again",
    "permission denied": "etcd's own users are on, but its gateway sees no certificate's name",
    "user name is empty": "etcd's own users are on, but its gateway sees no certificate's name",
}


class UnsureError(StoreError):
    """The connection broke, or etcd gave up, after a write was sent: it may have happened."""


class StreamEndedError(StoreError):
    """A stream of answers ended before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Paths of PEM files, as kube-apiserver's --etcd-cafile, --etcd-certfile, --etcd-keyfile."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        try:
            made = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                made.load_cert_chain(self.certificate, self.key or None)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(name for name in (self.ca, self.certificate, self.key) if name)
            raise StoreError(
                f"etcd's certificates cannot be read ({files}): {error}",
                hint="look at --etcd-cafile, --etcd-certfile and --etcd-keyfile",
            ) from error
        return made


class Gateway:
    """`servers`: client URLs, tried in turn; one that does not answer goes to the end."""

    def __init__(self, servers: Sequence[str], tls: Tls) -> None:
        self._servers = [server.rstrip("/") for server in servers]
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._streams: set[aiohttp.ClientResponse] = set()

    async def open(self) -> None:
        secure = any(server.startswith("https:") for server in self._servers)
        context = await asyncio.to_thread(self._tls.context) if secure else None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context if context is not None else True),
            timeout=aiohttp.ClientTimeout(total=None, connect=_SECONDS),
            read_bufsize=1 << 20,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, what: str, question: Any, *, once: bool = False) -> Any:
        """One answer, of the first server that gives one.

        `once`: ask no other server after one that may have carried it out (UnsureError).
        """
        assert self._session is not None, "open first"
        body = msgspec.json.encode(question)
        failure: Exception | None = None
        for server in tuple(self._servers):
            try:
                async with (
                    asyncio.timeout(_SECONDS),
                    self._session.post(f"{server}/v3/{what}", data=body) as response,
                ):
                    found = _decode(await response.read())
            except aiohttp.ClientConnectorError as error:
                failure = error
                self._avoid(server)
                continue
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                failure = error
                self._avoid(server)
                if once:
                    raise UnsureError(f"etcd {server} did not answer a write: {error!r}") from error
                continue
            if response.status < 400:
                return found
            refused = failure_of(found)
            if isinstance(refused, UnsureError) and not once:
                failure = refused
                self._avoid(server)
                continue
            raise refused
        if isinstance(failure, StoreError):
            raise failure
        raise StoreError(
            f"no etcd answers ({', '.join(self._servers)}): {failure or 'no time'}",
            hint="look at --etcd-cafile, --etcd-certfile and --etcd-keyfile"
            if "certificate" in str(failure)
            else "look whether etcd runs, and whether --etcd-servers names its client URLs",
        )

    async def stream(self, what: str, question: Any) -> AsyncGenerator[Any, None]:
        """Answers as they come, of any size; StreamEndedError when there will be no more."""
        assert self._session is not None, "open first"
        server, rest = self._servers[0], bytearray()
        try:
            async with self._session.post(
                f"{server}/v3/{what}", data=msgspec.json.encode(question)
            ) as response:
                self._streams.add(response)
                try:
                    async for chunk in response.content.iter_any():
                        *lines, tail = chunk.split(b"\n")
                        for line in lines:
                            rest += line
                            if rest:
                                yield _result(_decode(bytes(rest)))
                            rest.clear()
                        rest += tail
                finally:
                    self._streams.discard(response)
        except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
            self._avoid(server)
            raise StreamEndedError(f"etcd {server} is away: {error!r}") from error
        self._avoid(server)
        raise StreamEndedError(f"etcd {server} ended the stream")

    def break_off(self) -> None:
        """End all streams, for another server may be in better touch with the cluster."""
        for response in tuple(self._streams):
            response.close()

    def _avoid(self, server: str) -> None:
        if self._servers[0] == server:
            self._servers.append(self._servers.pop(0))


def _result(found: Any) -> Any:
    if "result" not in found:
        raise failure_of(found.get("error") or found)
    return found["result"]


def failure_of(found: Any) -> StoreError:
    """The error that etcd's refusal stands for."""
    error = found.get("error")
    message = str(found.get("message") or (error if isinstance(error, str) else "") or found)
    if "has been compacted" in message:
        return CompactedError(0)
    if "future revision" in message:
        return FutureRevisionError(0, 0)
    if any(text in message for text in _UNSURE):
        return UnsureError(f"etcd: {message}")
    hint = next((hint for text, hint in _HINTS.items() if text in message), "")
    return StoreError(f"etcd: {message}", hint=hint)
