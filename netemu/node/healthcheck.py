"""The HTTP answers of a proxy: one port a Local-policy load balancer asks, and /healthz.

A load balancer learns from healthCheckNodePort which nodes have endpoints of a Service, so that it
sends nothing to the others.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/healthcheck/service_health.go
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netemu.api import meta
from netemu.api.kind import Object
from netemu.node import netns

log = logging.getLogger(__name__)

HEALTHZ_PORT = 10256
_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """What one healthCheckNodePort says."""

    namespace: str
    name: str
    local_endpoints: int


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]

    def encode(self) -> bytes:
        reason = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[self.status]
        body = self.body.encode()
        fields = {**self.headers, "Content-Length": str(len(body)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {reason}\r\n{head}\r\n".encode() + body


def answer(health: ServiceHealth, *, proxy_healthy: bool) -> Answer:
    """200 while the node has a ready endpoint and the proxy works, else 503."""
    good = health.local_endpoints > 0 and proxy_healthy
    body = {
        "service": {"namespace": health.namespace, "name": health.name},
        "localEndpoints": health.local_endpoints,
        "serviceProxyHealthy": proxy_healthy,
    }
    headers = {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": str(health.local_endpoints),
    }
    return Answer(200 if good else 503, json.dumps(body, indent="\t"), headers)


def _is_eligible(node: Object | None) -> bool:
    """Whether load balancers should still send new connections to this node."""
    if node is None or meta.is_deleting(node):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    return not any(taint.get("key") == _TO_BE_DELETED for taint in taints)


def healthz(path: str, *, node: Object | None, healthy: bool, updated: float, now: float) -> Answer:
    """`/healthz`: rules are up to date and the node stays; `/livez`: rules are up to date."""
    if path not in ("/healthz", "/livez"):
        return Answer(404, "404 page not found\n", {"Content-Type": "text/plain"})
    eligible = _is_eligible(node)
    body = {
        "lastUpdated": meta.micro_timestamp(updated),
        "currentTime": meta.micro_timestamp(now),
        "nodeEligible": eligible,
    }
    good = healthy and (eligible or path == "/livez")
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return Answer(200 if good else 503, json.dumps(body), headers)


class HttpPort:
    """A tiny HTTP server on one port of a node: `answers` gets the path of each GET."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @classmethod
    async def open(cls, path: str, port: int, answers: Callable[[str], Answer]) -> HttpPort:
        """Listen inside the namespace at `path`; OSError when the port is taken there."""

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

        sock = await netns.await_in(path, lambda: _listen(port))
        return cls(await asyncio.start_server(serve, sock=sock))

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()


def _listen(port: int) -> socket.socket:
    """Every address of the calling thread's namespace, of both families where it has IPv6."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


class HealthServers:
    """The healthCheckNodePorts of one node: opened and closed as Services come and go."""

    def __init__(self, path: str, proxy_healthy: Callable[[], bool]) -> None:
        self._path, self._proxy_healthy = path, proxy_healthy
        self._open: dict[int, HttpPort] = {}
        self._health: dict[int, ServiceHealth] = {}

    async def sync(self, wanted: Mapping[int, ServiceHealth]) -> None:
        """Serve `wanted`, by port; a port that cannot be opened is logged and tried again."""
        self._health = dict(wanted)
        for port in [port for port in self._open if port not in wanted]:
            await self._open.pop(port).close()
        for port in sorted(set(wanted) - set(self._open)):
            try:
                self._open[port] = await HttpPort.open(self._path, port, self._answer(port))
            except OSError as error:
                log.warning(
                    "health check port not opened", extra={"kv": {"port": port, "why": error}}
                )

    def _answer(self, port: int) -> Callable[[str], Answer]:
        return lambda path: answer(self._health[port], proxy_healthy=self._proxy_healthy())

    async def close(self) -> None:
        await self.sync({})
