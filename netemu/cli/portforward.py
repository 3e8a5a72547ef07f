"""`netemu port-forward`: local TCP ports that lead to a pod's, through the API's WebSocket.

Unlike other commands this one lives long and serves many connections, so it has an event loop.
https://kubernetes.io/docs/reference/kubectl/generated/kubectl_port-forward/
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from dataclasses import dataclass

import click

from netemu.aio import spawn
from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.failures import CommandFailed
from netemu.cli.podtargets import one_pod
from netemu.cli.session import ObjectCommand, Session, pass_session

PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 1 << 16
_SILENCE = 5.0
"""Seconds without an answer after which a client that sends no more counts as gone."""


@dataclass(frozen=True, slots=True)
class Ports:
    """`local` 0: a free one. `remote` is a number or the name of a container's port."""

    local: int
    remote: str


@click.command("port-forward", cls=ObjectCommand)
@click.argument("resource", metavar="POD | TYPE/NAME")
@click.argument("ports", nargs=-1, required=True, metavar="[LOCAL:]REMOTE…")
@click.option(
    "--address", "addresses", multiple=True, default=("localhost",), help="Where to listen."
)
@pass_session
def port_forward(
    session: Session, /, resource: str, ports: tuple[str, ...], addresses: tuple[str, ...]
) -> None:
    """Reach a pod's port from this machine, until Ctrl-C."""
    wanted = [parse_ports(text) for text in ports]
    pod = one_pod(session, resource)
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise CommandFailed(
            f"unable to forward port because pod is not running. Current status={phase}"
        )
    service = _service(session, resource)
    resolved = [(each, _number(pod, service, each.remote)) for each in wanted]
    asyncio.run(_serve(session, pod, resolved, addresses))


def parse_ports(text: str) -> Ports:
    """`8080:80`, `80`, `:80`, `8080:http`."""
    match = re.fullmatch(r"(?:(\d{0,5}):)?([a-z0-9-]+)", text)
    if match is None or int(match[1] or 0) > 65535:
        raise click.UsageError(f"invalid port format {text!r}; write [LOCAL:]REMOTE")
    local, remote = match[1], match[2]
    if local is None:
        return Ports(int(remote) if remote.isdigit() else 0, remote)
    return Ports(int(local or 0), remote)


def _service(session: Session, resource: str) -> Object | None:
    if "/" not in resource:
        return None
    target = targets.one(session.discovery, [resource], session.namespace)
    return session.api.get(target.path) if target.resource.kind == "Service" else None


def _number(pod: Object, service: Object | None, remote: str) -> int:
    """The container's port; a Service's port is followed to its target."""
    if service is not None:
        for port in service["spec"].get("ports") or ():
            if remote in (str(port["port"]), port.get("name")):
                remote = str(port.get("targetPort", port["port"]))
                break
        else:
            raise CommandFailed(
                f"Service {service['metadata']['name']} does not have a service port {remote}"
            )
    if remote.isdigit():
        return int(remote)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == remote:
                return int(port["containerPort"])
    raise CommandFailed(f"Pod '{pod['metadata']['name']}' does not have a named port '{remote}'")


async def _serve(
    session: Session, pod: Object, ports: list[tuple[Ports, int]], addresses: tuple[str, ...]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    forwarder = _Forwarder(session.socket, pod)
    servers = []
    for each, remote in ports:
        for address in addresses:
            servers += await _listen(forwarder, address, each, remote)
    try:
        await stop.wait()
    finally:
        for server in servers:
            server.close()


async def _listen(
    forwarder: _Forwarder, address: str, ports: Ports, remote: int
) -> list[asyncio.Server]:
    hosts = ("127.0.0.1", "::1") if address == "localhost" else (address,)
    servers: list[asyncio.Server] = []
    local = ports.local
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            server = await asyncio.start_server(
                lambda reader, writer: forwarder.forward(reader, writer, remote),
                host,
                local,
                family=family,
            )
        except OSError as error:
            if host == "::1":
                continue  # a machine without IPv6 forwards IPv4 only
            raise CommandFailed(f"unable to listen on port {local}: {error.strerror}") from error
        servers.append(server)
        local = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print(f"Forwarding from {shown}:{local} -> {remote}", flush=True)
    return servers


class _Forwarder:
    """One WebSocket a connection."""

    def __init__(self, path: str, pod: Object) -> None:
        metadata = pod["metadata"]
        self._path = path
        self._url = (
            f"http://localhost/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
            "/portforward"
        )

    async def forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, remote: int
    ) -> None:
        import aiohttp

        print(f"Handling connection for {remote}", flush=True)
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._path)) as http,
                http.ws_connect(
                    f"{self._url}?ports={remote}", protocols=(PROTOCOL,), max_msg_size=0
                ) as channel,
                asyncio.TaskGroup() as group,
            ):
                up = spawn(group, _up(reader, channel), name="up")
                await _down(channel, writer, up)
                up.cancel()
        except (aiohttp.ClientError, ExceptionGroup) as error:
            print(f"an error occurred forwarding to {remote}: {error}", file=sys.stderr)
        finally:
            writer.close()


async def _up(reader: asyncio.StreamReader, channel: object) -> None:
    import aiohttp

    assert isinstance(channel, aiohttp.ClientWebSocketResponse)
    while data := await reader.read(_CHUNK):
        await channel.send_bytes(b"\0" + data)


async def _down(channel: object, writer: asyncio.StreamWriter, up: asyncio.Task[None]) -> None:
    """Channel 0 is data, 1 is an error; the first message of each is the port's number.

    A client that has sent all it had may still wait for answers, which channels cannot tell from
    one that has gone; so after its end the pod's silence ends the connection.
    """
    import aiohttp

    assert isinstance(channel, aiohttp.ClientWebSocketResponse)
    ends = (
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSING,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    )
    opened: set[int] = set()
    while True:
        try:
            message = await channel.receive(timeout=_SILENCE)
        except TimeoutError:
            if up.done():
                return
            continue
        if message.type in ends:
            return
        if message.type is not aiohttp.WSMsgType.BINARY:
            continue
        number, data = message.data[0], message.data[1:]
        if number not in opened:
            opened.add(number)
            continue
        if number == 1:
            print(f"an error occurred forwarding: {data.decode(errors='replace')}", file=sys.stderr)
            return
        writer.write(data)
        await writer.drain()
