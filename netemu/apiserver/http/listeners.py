"""Where the server listens: a unix socket for root, and TCP with TLS."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from netemu.aio import spawn
from netemu.apiserver.http.handler import Handler
from netemu.apiserver.http.quickanswers import QuickAnswers
from netemu.apiserver.http.quickprotocol import QuickServer
from netemu.apiserver.http.quickwrites import QuickWrites
from netemu.apiserver.http.sniff import Sniffer
from netemu.apiserver.http.tlsdoor import TlsDoor
from netemu.apiserver.http.upgrades import is_ours, serve_upgrade
from netemu.apiserver.streams.rawconnection import RawConnection

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

_KEEPALIVE = 75.0
_MOST_HEADER = 64 * 1024
"""Bytes of a request line or a header: selectors and tokens may be long."""
_BACKLOG = 1024
_PORT_FILE = "api.port"
_FINISH_SECONDS = 0.1
"""For requests in flight at the end; idle connections cost as much."""


def _private_socket(path: Path) -> socket.socket:
    """A bound socket that only root can open, not even for a moment others."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".api") as private:
        hidden = Path(private) / "s"
        made.bind(str(hidden))
        hidden.chmod(0o600)
        hidden.rename(path)  # replaces what a dead daemon left
    return made


class Listeners:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._listening: list[asyncio.Server] = []
        self._sniffers: set[Sniffer] = set()
        self._doors: set[TlsDoor] = set()
        handler = Handler(server)
        self._http = QuickServer(
            handler,
            QuickAnswers(server),
            QuickWrites(handler),
            keepalive_timeout=_KEEPALIVE,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MOST_HEADER,
            max_field_size=_MOST_HEADER,
        )
        self.port = 0
        """The TCP port on loopback, once listening."""

    async def open(self, group: asyncio.TaskGroup) -> None:
        """Listen; a socket file that a dead daemon left is replaced."""
        config = self._server.config
        self._group = group
        path = self._server.socket
        path.parent.mkdir(parents=True, exist_ok=True)
        listening = await asyncio.get_running_loop().create_unix_server(
            self._sniffer, sock=_private_socket(path), backlog=_BACKLOG
        )
        self._listening.append(listening)
        self.port = await self._listen_as_before(path.with_name(_PORT_FILE), config.api_port)

    async def _listen_as_before(self, file: Path, port: int) -> int:
        """On loopback; a free port stays the same when the daemon comes back, for kubeconfigs."""
        known = file.read_text().strip() if not port and file.exists() else ""
        if known.isdigit():
            try:
                return await self.listen("127.0.0.1", int(known))
            except OSError:
                pass  # somebody else has it now
        found = await self.listen("127.0.0.1", port)
        file.write_text(f"{found}\n")
        return found

    async def listen(self, host: str, port: int) -> int:
        """One more TCP address, with a certificate for it; returns the port."""
        config = self._server.config
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        names += [f"kubernetes.default.svc.{config.cluster_domain}", "127.0.0.1", "::1"]
        names += [config.api_service_ip, host]
        tls = await asyncio.to_thread(self._server.pki.server_context, names)
        tcp = await asyncio.get_running_loop().create_server(
            lambda: TlsDoor(self._sniffer, tls, self._doors), host, port, backlog=_BACKLOG
        )
        self._listening.append(tcp)
        return int(tcp.sockets[0].getsockname()[1])

    def _sniffer(self) -> Sniffer:
        return Sniffer(self._http, is_ours, self._on_upgrade, self._sniffers)

    def _on_upgrade(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        connection = RawConnection(transport, rest)
        serving = serve_upgrade(self._server, connection, head)
        spawn(self._group, serving, name="upgraded-connection")

    async def close(self) -> None:
        """End all connections."""
        for listening in self._listening:
            listening.close()
        for sniffer in tuple(self._sniffers):
            sniffer.close()
        for door in tuple(self._doors):
            door.close()
        await self._http.shutdown(_FINISH_SECONDS)
        self._server.socket.unlink(missing_ok=True)
