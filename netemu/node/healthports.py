"""A proxy's HTTP ports in its node: /healthz, and one port for each Local-policy load balancer.

https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from netemu.api import meta
from netemu.node import netns
from netemu.node.healthcheck import Answer, ServiceHealth, answer
from netemu.proxy.endpoints import Service
from netemu.proxy.services import local_ready_addresses

log = logging.getLogger(__name__)


class HttpPort:
    """A tiny HTTP server on one port of a node: `answers` gets the path of each GET."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @classmethod
    async def open(
        cls, path: str, port: int, answers: Callable[[str], Answer], address: str = ""
    ) -> HttpPort:
        """Listen inside the namespace at `path`; OSError when the port is taken there.

        Without an `address` on every one of both families.
        """

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(10):
                    head = await reader.readuntil(b"\r\n\r\n")
                    words = head.decode("latin-1").split(" ", 2)
                    writer.write(answers(words[1] if len(words) > 1 else "/").encode())
                    await writer.drain()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                log.debug("health check client went away")
            finally:
                writer.close()

        sock = await netns.await_in(path, lambda: _listen(address, port))
        return cls(await asyncio.start_server(serve, sock=sock))

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()


def _listen(address: str, port: int) -> socket.socket:
    """In the calling thread's namespace."""
    if not address and socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address or "0.0.0.0", port), family=family)


class HealthServers:
    """The healthCheckNodePorts of one node: opened and closed as Services come and go."""

    def __init__(self, path: str, proxy_healthy: Callable[[], bool]) -> None:
        self._path, self._proxy_healthy = path, proxy_healthy
        self._open: dict[tuple[str, int], HttpPort] = {}
        self._health: dict[int, ServiceHealth] = {}

    def note(self, key: str, ports: Sequence[Service]) -> None:
        """What is known of the Service `key` now; `sync` opens or closes its port."""
        names = meta.split_key(key)
        mine = [p for p, h in self._health.items() if (h.namespace, h.name) == names]
        for port in mine:
            del self._health[port]
        if ports and ports[0].port.health_check_node_port:
            health = ServiceHealth(*names, local_ready_addresses(ports))
            self._health[ports[0].port.health_check_node_port] = health

    async def sync(self, addresses: Sequence[str]) -> dict[str, str]:
        """Serve on `addresses`; why a port cannot be opened, by Service key. It is tried again."""
        wanted = {(address, port) for port in self._health for address in addresses}
        for place in self._open.keys() - wanted:
            await self._open.pop(place).close()
        failed = {}
        for place in sorted(wanted - self._open.keys()):
            address, port = place
            try:
                opened = await HttpPort.open(self._path, port, self._answer(port), address)
            except OSError as error:
                health = self._health[port]
                failed[f"{health.namespace}/{health.name}"] = f"port {port}: {error.strerror}"
            else:
                self._open[place] = opened
        return failed

    def _answer(self, port: int) -> Callable[[str], Answer]:
        return lambda path: answer(self._health[port], proxy_healthy=self._proxy_healthy())

    async def close(self) -> None:
        self._health = {}
        await self.sync(())
