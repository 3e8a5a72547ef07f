"""The server: listeners and HTTP ports of the configuration that serves, and its replacement."""

from __future__ import annotations

import asyncio
import errno
import glob
import hashlib
import logging
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from netemu.dns import corefile
from netemu.dns.runtime import Runtime
from netemu.dns.server.http import MAX_HEAD, serve_client
from netemu.dns.server.instance import Address, Instance, build
from netemu.dns.server.respond import Responder
from netemu.dns.server.tcp import TcpConnection
from netemu.dns.server.udp import UdpListener
from netemu.errors import ConfigError, NetemuError

log = logging.getLogger(__name__)

FREE_PORT_TRIES = 20
UDP_BUFFER = 1 << 20
"""Octets; a burst waits there while the loop does something else."""


class ListenError(NetemuError):
    """An address cannot be listened on."""


@dataclass(slots=True)
class Listeners:
    """What is open for one address of the Corefile."""

    responder: Responder
    udp: list[UdpListener] = field(default_factory=list)
    tcp: list[asyncio.Server] = field(default_factory=list)
    connections: set[TcpConnection] = field(default_factory=set)

    def close(self) -> None:
        for listener in self.udp:
            listener.close()
        for server in self.tcp:
            server.close()
        for connection in list(self.connections):
            connection.abort()


class Server:
    """Serves a Corefile until stopped; `replace` swaps the Corefile."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        listen: Sequence[Address] = (),
        source: str = "Corefile",
        reuse_port: bool = False,
        pages: bool = True,
    ) -> None:
        self.runtime = runtime
        self.listen = listen
        self.source = source
        self.reuse_port = reuse_port
        self.pages = pages
        """Whether to serve metrics and probes."""
        self.text = ""
        self.instance: Instance | None = None
        self.listeners: dict[Address, Listeners] = {}
        self.http: dict[Address, asyncio.Server] = {}
        self._swap = asyncio.Lock()
        runtime.on_change(self._changed)
        runtime.registry.before_render(self._fold)
        self._reloads = runtime.registry.counter(
            "coredns_reload_failed_total", "Counter of the number of failed reload attempts."
        )
        self._version = runtime.registry.gauge(
            "coredns_reload_version_info",
            "A metric with a constant '1' value labeled by hash, and value which type of hash"
            " generated.",
            ("hash", "value"),
        )

    async def start(self, text: str) -> None:
        """Serve `text`; raises ConfigError or ListenError."""
        await self._take(text)

    async def replace(self, text: str) -> bool:
        """Serve `text` from now on; with a mistake in it, say so and serve on as before."""
        async with self._swap:
            if text == self.text:
                return True
            try:
                await self._take(text)
            except NetemuError as error:
                self._reloads.add()
                problems = error.problems if isinstance(error, ConfigError) else (str(error),)
                log.error(f"Restart failed, the old Corefile serves on: {'; '.join(problems)}")
                return False
            except Exception as error:  # raised from a task, it would end the server
                self._reloads.add()
                log.error("Restart failed, the old Corefile serves on", exc_info=error)
                return False
            log.info("Reloading complete")
            return True

    async def _take(self, text: str) -> None:
        files = partial(_imported, self.runtime.root)
        blocks = corefile.parse(text, source=self.source, files=files)
        if not blocks:
            raise ConfigError([f"{self.source}: holds no server block"])
        new = build(blocks, self.runtime, listen=self.listen)
        if self.instance is None:
            await self._patience(new)
        opened: dict[Address, Listeners] = {}
        pages: dict[Address, asyncio.Server] = {}
        try:
            for address in new.chains:
                if address not in self.listeners:
                    opened[address] = await self._open(address)
            for address in new.pages if self.pages else ():
                if address not in self.http:
                    pages[address] = await self._open_http(address)
        except BaseException:
            for listeners in opened.values():
                listeners.close()
            for server in pages.values():
                server.close()
            new.close()
            raise
        self._adopt(text, new, opened, pages)

    async def _patience(self, new: Instance) -> None:
        """Give plugins the time that they ask for before the first answer; then serve anyway."""
        moved = asyncio.Event()
        forget = self.runtime.on_change(lambda tags: moved.set())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max((plugin.patience for plugin in new.plugins), default=0.0)
        try:
            async with asyncio.timeout_at(deadline):
                while not all(plugin.ready() for plugin in new.plugins if plugin.patience):
                    moved.clear()
                    await moved.wait()
        except TimeoutError:
            log.warning("plugin/kubernetes: starting server with unsynced Kubernetes API")
        finally:
            forget()

    def _adopt(
        self,
        text: str,
        new: Instance,
        opened: dict[Address, Listeners],
        pages: dict[Address, asyncio.Server],
    ) -> None:
        """All that could fail is done: the new configuration serves from here on."""
        old, self.instance, self.runtime.instance, self.text = self.instance, new, new, text
        self.listeners |= opened
        self.http |= pages
        for address in [address for address in self.listeners if address not in new.chains]:
            self.listeners.pop(address).close()
        for address in [address for address in self.http if address not in new.pages]:
            self.http.pop(address).close()
        for address, chains in new.chains.items():
            self.listeners[address].responder.chains = chains
            for listener in self.listeners[address].udp:
                listener.forget()
        if old is not None:
            old.close()
        self._version.series.clear()
        self._version.set(("sha512", hashlib.sha512(text.encode()).hexdigest()), 1)
        new.start()

    async def stop(self) -> None:
        """Lame duck, then close everything."""
        if self.instance is not None:
            await self.instance.stop()
        for listeners in self.listeners.values():
            listeners.close()
        for server in self.http.values():
            server.close()
        self.listeners.clear()
        self.http.clear()

    def dns_addresses(self) -> list[Address]:
        """What UDP sockets are bound to, with the ports the kernel chose."""
        return [
            listener.local[:2]
            for listeners in self.listeners.values()
            for listener in listeners.udp
        ]

    async def _open(self, address: Address) -> Listeners:
        """Listen on all addresses that are meant. Port 0: one that is free for UDP and for TCP."""
        tries = FREE_PORT_TRIES if address[1] == 0 else 1
        while True:
            tries -= 1
            listeners = Listeners(Responder(self.runtime.group))
            try:
                for host in _hosts(address[0]):
                    await self._open_one(listeners, host, address[1])
                return listeners
            except OSError as error:
                listeners.close()
                if not tries:
                    raise ListenError(
                        f"cannot listen on {address[0] or '*'}:{address[1]}:"
                        f" {os.strerror(error.errno or 0)}",
                        hint="another server may hold the port: see `ss -lnup`, or use --listen",
                    ) from None
            except BaseException:
                listeners.close()
                raise

    async def _open_one(self, listeners: Listeners, host: str, port: int) -> None:
        port = listeners.udp[0].local[1] if listeners.udp else port
        try:
            await self._open_host(listeners, host, port)
        except OSError as error:
            without_ipv6 = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
            if host != "::" or not listeners.udp or not without_ipv6:
                raise

    async def _open_host(self, listeners: Listeners, host: str, port: int) -> None:
        udp = self._udp_socket(host, port)
        listener = UdpListener(udp, listeners.responder)
        loop = asyncio.get_running_loop()
        try:
            tcp = await loop.create_server(
                partial(TcpConnection, listeners.responder, listeners.connections),
                host,
                listener.local[1],
                backlog=1024,
                reuse_address=True,
                reuse_port=self.reuse_port or None,
            )
        except OSError:
            udp.close()
            raise
        listener.open()
        listeners.udp.append(listener)
        listeners.tcp.append(tcp)

    def _udp_socket(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        return sock

    async def _open_http(self, address: Address) -> asyncio.Server:
        def routes() -> dict[str, object]:
            return dict(self.instance.pages.get(address, {})) if self.instance else {}

        try:
            return await asyncio.start_server(
                partial(serve_client, routes),  # type: ignore[arg-type]
                address[0] or None,
                address[1],
                limit=MAX_HEAD,
                reuse_address=True,
            )
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}",
                hint="another process may hold the port: see `ss -lntp`",
            ) from None

    def _changed(self, tags: Iterable[object]) -> None:
        for listeners in self.listeners.values():
            for listener in listeners.udp:
                listener.changed(tags)

    def _fold(self) -> None:
        for listeners in self.listeners.values():
            for listener in listeners.udp:
                listener.fold()


def _hosts(host: str) -> tuple[str, ...]:
    return (host,) if host else ("0.0.0.0", "::")


def _imported(root: Path, pattern: str) -> list[tuple[str, str]]:
    """The files below `root` that an `import` of the Corefile means."""
    found = []
    for name in sorted(glob.glob(str(root / pattern))):
        path = Path(name)
        if path.is_file():
            try:
                found.append((name, path.read_text()))
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"{name}: {error}"]) from None
    if not found:
        log.warning(f"No files matching import glob pattern: {pattern}")
    return found
