"""The API server over its unix socket: writes, reads, lists, watches, start and memory.

First the server alone, then within the whole daemon of a cluster of three nodes (`daemon`), killed
and started again with 10,000 objects.

The client is as thin as it can be (a blocking socket), because it shares the machine's processors
with the server. `floor` is the same exchange with a server that answers a fixed text: what asyncio
and the kernel take of each request. A real kube-apiserver with etcd on such a machine: 570 creates
a second, ready in 3.6 s, 326 MB.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OBJECTS = 10_000
LISTED = 5_000
WATCHERS, EVENTS = 100, 1_000
WINDOW, WINDOWS = 1_500, 3
"""Requests in a row that are timed together; the median of so many windows counts."""

SERVER = """
import asyncio, gc, sys
from pathlib import Path
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.store.sqlite import SqliteStore

gc.freeze()
gc.set_threshold(50_000, 20, 100)  # as the daemon does

async def main(folder):
    server = ApiServer(ClusterConfig(), store=SqliteStore(folder / "store.db"),
                       socket=folder / "api.sock", pki=folder / "pki")
    ready = asyncio.Event()
    running = asyncio.create_task(server.run(ready=ready))
    await asyncio.wait({running, asyncio.create_task(ready.wait())},
                       return_when=asyncio.FIRST_COMPLETED)
    print("ready", flush=True)
    await running

asyncio.run(main(Path(sys.argv[1])))
"""

FLOOR = """
import asyncio, sys

class Fixed(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")

async def main(folder):
    await asyncio.get_running_loop().create_unix_server(Fixed, f"{folder}/api.sock")
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main(sys.argv[1]))
"""


@contextlib.contextmanager
def serving(program: str, folder: Path) -> Iterator[tuple[int, float]]:
    """A server's process: its pid, and the seconds until clients could connect."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the server did not start")
        yield process.pid, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


class Client:
    """One kept connection; a request at a time."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(folder / "api.sock"))

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1.0\r\n"
            f"Accept: application/json\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)

    def receive(self) -> bytes:
        data = self.socket.recv(1 << 18)
        end = data.index(b"\r\n\r\n") + 4
        length = re.search(rb"Content-Length: (\d+)", data)
        if data[9:10] != b"2" or length is None:
            raise RuntimeError(data[:500].decode(errors="replace"))
        parts, missing = [data[end:]], int(length.group(1)) - len(data) + end
        while missing > 0:
            part = self.socket.recv(1 << 20)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        self.send(method, path, body)
        return self.receive()


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str) -> bytes:
    metadata = {"name": name, "labels": {"app": "bench", "part": "one"}}
    data = {"key": "value", "more": "x" * 100}
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    ).encode()


def rates(request: Callable[[int], object]) -> float:
    """Requests a second: the median window."""
    found = []
    for window in range(WINDOWS):
        start = time.perf_counter()
        for i in range(window * WINDOW, (window + 1) * WINDOW):
            request(i)
        found.append(WINDOW / (time.perf_counter() - start))
    return statistics.median(found)


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has had: what a busy machine does not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate_and_cost(pid: int, request: Callable[[int], object]) -> tuple[float, float]:
    """Requests a second, and microseconds of the server's processor time for one."""
    before = cpu(pid)
    rate = rates(request)
    return rate, (cpu(pid) - before) / (WINDOW * WINDOWS) * 1e6


def create(client: Client, name: str, path: str = CONFIG_MAPS) -> None:
    client.request("POST", f"{path}?fieldManager=bench&fieldValidation=Strict", config_map(name))


def fill(folder: Path, first: int, count: int, path: str = CONFIG_MAPS) -> None:
    """Many objects from many connections, so that they share commits."""
    clients = [Client(folder) for _ in range(16)]
    for start in range(first, first + count, len(clients)):
        numbers = range(start, min(start + len(clients), first + count))
        batch = list(zip(clients, numbers, strict=False))
        for client, i in batch:
            client.send("POST", f"{path}?fieldManager=bench", config_map(f"object-{i}"))
        for client, _ in batch:
            client.receive()
    for client in clients:
        client.socket.close()


def list_ms(client: Client, count: int) -> float:
    start = time.perf_counter()
    found = client.request("GET", f"{CONFIG_MAPS}?limit={count}")
    taken = time.perf_counter() - start
    assert len(json.loads(found)["items"]) == count
    return taken * 1000


def fan_out(folder: Path) -> float:
    """Seconds from the first of many creates until every watcher has seen all of them."""
    space = "/api/v1/namespaces/kube-public/configmaps"
    present = json.loads(Client(folder).request("GET", space))["metadata"]["resourceVersion"]
    ready = selectors.DefaultSelector()
    seen: dict[socket.socket, int] = {}
    for _ in range(WATCHERS):
        client = Client(folder)
        client.send("GET", f"{space}?watch=1&resourceVersion={present}")
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 200")
        client.socket.setblocking(False)
        ready.register(client.socket, selectors.EVENT_READ)
        seen[client.socket] = 0
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(folder), space, str(EVENTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdout.readline()  # it is there
    start = time.perf_counter()
    writer.stdin.write(b"go\n")
    writer.stdin.flush()
    waiting = len(seen)
    while waiting:
        for key, _ in ready.select():
            one = key.fileobj
            assert isinstance(one, socket.socket)
            seen[one] += one.recv(1 << 20).count(b'{"type":"ADDED"')
            if seen[one] >= EVENTS:
                ready.unregister(one)
                one.close()
                waiting -= 1
    taken = time.perf_counter() - start
    writer.wait()
    return taken


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import bench_api
print("here", flush=True)
sys.stdin.readline()
bench_api.fill(Path(sys.argv[2]), 0, int(sys.argv[4]), sys.argv[3])
"""


def memory_mb(pid: int) -> float:
    match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert match is not None
    return int(match.group(1)) / 1024


NETEMU = Path(sys.executable).with_name("netemu")


def netemu(*arguments: str) -> str:
    done = subprocess.run([str(NETEMU), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def up(name: str) -> tuple[int, float, float]:
    """`netemu up`: the daemon's pid, its own seconds until all is ready, the command's seconds."""
    start = time.perf_counter()
    said = netemu("up", "--name", name)
    taken = time.perf_counter() - start
    ready = re.search(r"ready in ([\d.]+) s", said)
    assert ready is not None, said
    pid = json.loads(Path(f"/run/netemu/{name}/daemon.json").read_text())[0]
    return pid, float(ready.group(1)), taken


def answering(pid: int, folder: Path) -> float:
    """Seconds of a killed daemon's successor until the API answers, without waiting for nodes."""
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.001)
    (folder / "api.sock").unlink(missing_ok=True)
    name, start = folder.name, time.perf_counter()
    starting = subprocess.Popen([str(NETEMU), "up", "--name", name], stdout=subprocess.DEVNULL)
    while True:
        try:
            Client(folder).request("GET", f"{CONFIG_MAPS}/object-0")
            break
        except OSError:
            time.sleep(0.002)
    taken = time.perf_counter() - start
    if starting.wait():
        raise RuntimeError("the daemon did not come back")
    return taken


def daemon() -> dict[str, float]:
    """A cluster's whole daemon: the same figures with controllers and node agents around."""
    name, figures = "bench-api", {}
    folder = Path("/run/netemu", name)
    try:
        pid, figures["up_empty_s"], figures["up_empty_command_s"] = up(name)
        figures["memory_empty_mb"] = memory_mb(pid)
        client = Client(folder)
        figures["creates_per_s"] = rates(lambda i: create(client, f"object-{i}"))
        stored = WINDOW * WINDOWS
        figures["reads_per_s"] = rates(
            lambda i: client.request("GET", f"{CONFIG_MAPS}/object-{i % stored}")
        )
        fill(folder, stored, OBJECTS - stored)
        figures["memory_10000_mb"] = memory_mb(pid)
        figures["api_answers_after_kill_s"] = min(answering(pid, folder) for pid in _killed(name))
        pid = _daemon(name)
        os.kill(pid, signal.SIGKILL)
        pid, figures["up_10000_s"], figures["up_10000_command_s"] = up(name)
        figures["list_5000_ms"] = statistics.median(list_ms(Client(folder), LISTED) for _ in "abc")
        figures["memory_10000_started_mb"] = memory_mb(pid)
    finally:
        netemu("down", "--name", name)
    return figures


def _daemon(name: str) -> int:
    return int(json.loads(Path(f"/run/netemu/{name}/daemon.json").read_text())[0])


def _killed(name: str) -> Iterator[int]:
    """The present daemon, so many times over."""
    for _ in range(3):
        yield _daemon(name)


def run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with serving(FLOOR, folder):
            client = Client(folder)
            figures["floor_per_s"] = rates(lambda i: client.request("GET", f"{CONFIG_MAPS}/{i}"))
        (folder / "api.sock").unlink()
        with serving(SERVER, folder) as (pid, seconds):
            figures["start_empty_s"] = seconds
            client = Client(folder)
            figures["creates_per_s"], figures["create_cpu_us"] = rate_and_cost(
                pid, lambda i: create(client, f"object-{i}")
            )
            stored = WINDOW * WINDOWS
            assert b"managedFields" in client.request("GET", f"{CONFIG_MAPS}/object-0")
            figures["reads_per_s"], figures["read_cpu_us"] = rate_and_cost(
                pid, lambda i: client.request("GET", f"{CONFIG_MAPS}/object-{i % stored}")
            )
            fill(folder, stored, OBJECTS - stored)
            figures["list_5000_ms"] = statistics.median(list_ms(client, LISTED) for _ in range(3))
            figures["memory_10000_mb"] = memory_mb(pid)
            figures["fan_out_s"] = fan_out(folder)
            figures["memory_in_the_end_mb"] = memory_mb(pid)
        with serving(SERVER, folder) as (pid, seconds):
            figures["start_10000_s"], figures["start_10000_cpu_s"] = seconds, cpu(pid)
            client = Client(folder)
            figures["list_5000_cold_ms"] = list_ms(client, LISTED)
            figures["memory_10000_started_mb"] = memory_mb(pid)
    figures["daemon"] = daemon()
    figures["reads_of_floor"] = figures["reads_per_s"] / figures["floor_per_s"]
    return figures
