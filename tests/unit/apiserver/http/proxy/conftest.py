"""A server with a pod, a Service and a node, whose ports are servers of the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from host_kubelet import HostKubelet
from netemu.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES
from netemu.apiserver.server import ApiServer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POD_IP, NODE_IP = "10.244.0.5", "172.30.0.2"


@pytest.fixture
def kubelet() -> HostKubelet:
    return HostKubelet()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """`port = await serve(function, ssl=…)`: a TCP server until the test is over."""
    servers: list[asyncio.Server] = []
    running: set[asyncio.Task | None] = set()

    async def start(function: Serve, **options) -> int:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            running.add(asyncio.current_task())
            try:
                await function(reader, writer)
            except (OSError, EOFError):
                pass  # the client has gone
            finally:
                writer.close()

        made = await asyncio.start_server(run, "127.0.0.1", 0, **options)
        servers.append(made)
        return made.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
async def world(make_server, kubelet: HostKubelet) -> ApiServer:
    """Pod `web` (declares port 80 as `http`), Service `web` and node `node-1`."""
    server = await make_server(kubelets=lambda node: kubelet)
    client = server.local_client()
    await client.create(NODES, {"metadata": {"name": "node-1"}})
    addresses = {"addresses": [{"type": "InternalIP", "address": NODE_IP}]}
    await client.patch(NODES, "node-1", "", {"status": addresses}, subresource="status")
    ports = [{"containerPort": 1}, {"containerPort": 80, "name": "http"}]
    container = {"name": "main", "image": "x", "ports": ports}
    pod = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"nodeName": "node-1", "containers": [container]},
    }
    await client.create(PODS, pod)
    status = {"status": {"podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "phase": "Running"}}
    await client.patch(PODS, "web", "default", status, subresource="status")
    return server


@pytest.fixture
def publish(world: ApiServer) -> Callable[..., Awaitable[None]]:
    """`await publish(port, ready=…)`: the Service `web`, whose port 80 `http` is the pod's."""

    async def make(port: int, **conditions: bool) -> None:
        client = world.local_client()
        metadata = {"name": "web", "namespace": "default"}
        ports = [{"name": "http", "port": 80}, {"name": "other", "port": 81}]
        await client.create(SERVICES, {"metadata": metadata, "spec": {"ports": ports}})
        labels = {"kubernetes.io/service-name": "web"}
        target = {"kind": "Pod", "name": "web", "namespace": "default"}
        endpoint = {"addresses": [POD_IP], "targetRef": target, "conditions": conditions}
        slice_ = {
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [endpoint, {"addresses": ["10.244.0.9"]}],
        }
        await client.create(ENDPOINT_SLICES, slice_)

    return make
