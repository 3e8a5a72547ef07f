"""The command line against a real API server on a unix socket, in this process and without root."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netemu.api.kind import Object, Resource
from netemu.api.kinds import NAMESPACES
from netemu.apiserver.local import LocalClient
from netemu.apiserver.server import ApiServer
from netemu.cli.main import execute
from netemu.client.kubelet import LogOptions
from netemu.config import ClusterConfig
from netemu.store.memory import MemoryStore


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Kubelet:
    """The nodes' side of logs and port-forward: fixed lines, and an echo behind every port."""

    def __init__(self) -> None:
        self.asked: list[LogOptions] = []

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        for number in range(3)[-(options.tail_lines or 0) :]:
            stamp = "2026-11-20T08:00:00Z " if options.timestamps else ""
            yield f"{stamp}{pod}/{options.container} line {number}\n".encode()

    async def connect(self, namespace: str, pod: str, port: int) -> Echo:
        return Echo(port)

    async def exec(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    attach = exec


class Echo:
    """A connection whose other side says its port and then what it hears."""

    def __init__(self, port: int) -> None:
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._heard.put_nowait(f"port {port}\n".encode())

    async def read(self) -> bytes:
        return await self._heard.get()

    async def write(self, data: bytes) -> None:
        self._heard.put_nowait(data.upper())

    async def end(self) -> None:
        self._heard.put_nowait(b"")

    close = end


class Cluster:
    """A running API server, a client inside it, and the command line in front of it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-server")

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    async def _serve(self) -> None:
        config = ClusterConfig(name="test")
        self.kubelet = Kubelet()
        self.server = ApiServer(
            config,
            store=MemoryStore(),
            socket=self.socket,
            pki=self.socket.with_name("pki"),
            kubelets=lambda node: self.kubelet,
        )
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.run(ready=ready))
            await ready.wait()
            self.client: LocalClient = self.server.local_client()
            self._ready.set()

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something of the server's loop and wait for it."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(60)

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """The same without waiting."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def after_watch(self, act: Callable[[], Any]) -> threading.Thread:
        """Do something as soon as a client watches; no sleeping, no guessing."""
        watching = threading.Event()
        cache = self.server.cache
        original = cache.watch

        def noticed(*args: Any, **kwargs: Any) -> Any:
            cache.watch = original  # type: ignore[method-assign]
            watching.set()
            return original(*args, **kwargs)

        cache.watch = noticed  # type: ignore[method-assign,assignment]

        def wait_and_act() -> None:
            assert watching.wait(60)
            act()

        thread = threading.Thread(target=wait_and_act, name="after-watch")
        thread.start()
        return thread

    def create(self, resource: Resource, obj: Object) -> Object:
        created: Object = self.do(self.client.create(resource, obj))
        return created

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        found: Object = self.do(self.client.get(resource, name, namespace))
        return found

    def set_status(
        self, resource: Resource, name: str, status: Object, namespace: str = "default"
    ) -> Object:
        """Write the status as a controller or a kubelet would."""
        patched: Object = self.do(
            self.client.patch(resource, name, namespace, {"status": status}, subresource="status")
        )
        return patched


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for a module's tests; they use namespaces or names of their own."""
    running = Cluster(tmp_path_factory.mktemp("api") / "api.sock")
    running.start()
    yield running
    running.stop()


Netemu = Callable[..., Result]


@pytest.fixture
def netemu(
    cluster: Cluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Netemu:
    """`netemu("get", "pods")` against `cluster`: exit code, standard output, standard error."""
    monkeypatch.setenv("NETEMU_SERVER", str(cluster.socket))

    def run(*words: str) -> Result:
        capfd.readouterr()
        code = execute(list(words))
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a manifest; its path."""

    def write_file(name: str, content: str | bytes | Object) -> str:
        path = tmp_path / name
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**10}"
    cluster.create(NAMESPACES, {"metadata": {"name": name}})
    return name
