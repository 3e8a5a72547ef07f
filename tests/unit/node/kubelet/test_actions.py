"""Asking over HTTP and HTTPS, with servers on the loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from netemu.node.kubelet.actions import Undecided, act
from netemu.node.kubelet.nodesockets import NodeSockets
from netemu.node.kubelet.states import ContainerState


class OwnSockets(NodeSockets):
    """Sockets of this process's own namespace: entering one takes root."""

    def __init__(self) -> None:
        super().__init__("")

    async def connect(self, address: str, port: int) -> Any:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except OSError:
            sock.close()
            raise
        return sock


@asynccontextmanager
async def serving(answer: bytes, secure: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secure)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, timeout: float = 5.0, **where: Any) -> tuple[bool, str]:
    worker: Any = SimpleNamespace(ips=["127.0.0.1"], context=SimpleNamespace(sockets=OwnSockets()))
    state = ContainerState("c", "main", {})
    return await act(worker, state, {"httpGet": {"port": port, "path": "/h", **where}}, timeout)


@pytest.mark.parametrize(
    ("answer", "healthy", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, ""),
        (b"HTTP/1.1 302 Found\r\n\r\n", True, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "HTTP probe failed with statuscode: 404"),
        (b"HTTP/1.0 503\r\n\r\n", False, "HTTP probe failed with statuscode: 503"),
        (b"", False, "malformed response"),
    ],
)
async def test_the_status_decides(answer: bytes, healthy: bool, why: str) -> None:
    async with serving(answer) as port:
        assert await ask(port) == (healthy, why)


async def test_nobody_listens() -> None:
    async with serving(b"") as port:
        pass
    healthy, why = await ask(port)
    assert not healthy
    assert why == (
        f'Get "http://127.0.0.1:{port}/h": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )


async def test_an_unknown_port_name_is_said() -> None:
    worker: Any = SimpleNamespace(ips=["127.0.0.1"], context=SimpleNamespace(sockets=OwnSockets()))
    state = ContainerState("c", "main", {"ports": []})
    with pytest.raises(Undecided, match="^couldn't find port: web$"):
        await act(worker, state, {"tcpSocket": {"port": "web"}}, 1)


def _certificate(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = directory / "both.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_https_is_asked_without_checking_the_certificate(tmp_path: Path) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", _certificate(tmp_path)) as port:
        assert await ask(port, scheme="HTTPS") == (True, "")
