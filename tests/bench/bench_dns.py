"""The resolver: queries per CPU second, beside dnsmasq (and CoreDNS, if COREDNS=/path names one).

dnsperf tops out near 145,000 q/s, so the server's CPU time from /proc counts, not the rate seen.
1,000 Service names over UDP with metrics and loadbalance on; then with EDNS, then what has to be
made anew for each query (a name in a new spelling each time), then 10,000 Services from an API
server: time to the first answer, memory, and how soon a change is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 3
PORT = 15353
NAMES, SERVICES = 1000, 10_000
TICK = os.sysconf("SC_CLK_TCK")

COREFILE = """\
.:53 {
    errors
    prometheus 127.0.0.1:19153
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    forward . 127.0.0.1:9
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loadbalance
}
"""


def address(number: int) -> str:
    return f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def service(number: int) -> dict[str, Any]:
    ip = address(number + 256)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"svc-{number}", "namespace": f"ns-{number % 20}"},
        "spec": {
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    }


def slice_(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"svc-{number}-x",
            "namespace": f"ns-{number % 20}",
            "labels": {"kubernetes.io/service-name": f"svc-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [f"10.{244 + each}.{number >> 8 & 255}.{number & 255}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": f"svc-{number}-{each}"},
            }
            for each in range(3)
        ],
    }


def name(number: int) -> str:
    return f"svc-{number}.ns-{number % 20}.svc.cluster.local"


class Server:
    """A process that serves DNS on PORT, on one processor; its CPU time."""

    def __init__(self, argv: list[str], probe: str) -> None:
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.first_answer = wait_for_answer(probe, self.process) - self.started
        self.first_cpu = self.cpu()
        """CPU seconds until then: what the start takes where nothing else runs."""

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def wait_for_answer(asked: str, process: Any) -> float:
    """The time of the first NOERROR."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in asked.split("."))
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    deadline = time.perf_counter() + 60
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", PORT))
        sock.settimeout(0.005)
        while time.perf_counter() < deadline:
            try:
                sock.send(query)
                if sock.recv(512)[3] & 15 == 0:
                    return time.perf_counter()
            except OSError:
                time.sleep(0.002)
            if isinstance(process, subprocess.Popen) and process.poll() is not None:
                break
    raise RuntimeError("the server gives no answer")


def load(server: Server, questions: Path, *flags: str) -> dict[str, float]:
    """Queries per second seen, and per second of the server's CPU time."""
    before = server.cpu()
    done = subprocess.run(
        ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(PORT), "-d", str(questions),
         "-l", str(SECONDS), "-c", "8", "-T", "1", *flags],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    used = server.cpu() - before
    fields = {
        line.split(":")[0].strip(): line.split(":")[1].split()[0]
        for line in done.splitlines()
        if ":" in line and line.split(":")[1].split()
    }
    completed, lost = int(fields["Queries completed"]), int(fields["Queries lost"])
    return {
        "per_second": float(fields["Queries per second"]),
        "per_cpu_second": completed / used,
        "lost": lost,
        "mean_latency_us": float(fields["Average Latency (s)"]) * 1e6,
    }


def resolver(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "netemu.dns", *arguments, "--listen", f"127.0.0.1:{PORT}"]


def respelled(text: str, source: random.Random) -> str:
    return "".join(source.choice((char.lower(), char.upper())) for char in text)


def stand_alone(folder: Path) -> dict[str, Any]:
    """1,000 names: hot, with EDNS, over TCP, and where nothing kept can be used."""
    objects = [obj for number in range(NAMES) for obj in (service(number), slice_(number))]
    (folder / "objects.json").write_text(json.dumps({"kind": "List", "items": objects}))
    (folder / "Corefile").write_text(COREFILE)
    questions = folder / "questions"
    questions.write_text("".join(f"{name(number)} A\n" for number in range(NAMES)))
    source = random.Random(1)
    fresh = folder / "fresh"
    fresh.write_text("".join(f"{respelled(name(n % NAMES), source)} A\n" for n in range(400_000)))
    argv = resolver(
        "--objects", str(folder / "objects.json"), "--corefile", str(folder / "Corefile")
    )
    server = Server(argv, name(7))
    try:
        figures: dict[str, Any] = {
            "start_s": server.first_answer,
            "start_cpu_s": server.first_cpu,
        }
        figures["hot"] = load(server, questions)
        figures["edns"] = load(server, questions, "-e")
        figures["tcp"] = load(server, questions, "-m", "tcp")
        figures["respelled"] = load(server, fresh)
        figures["memory_mb"] = server.memory_mb()
        return figures
    finally:
        server.stop()


def dnsmasq(folder: Path) -> dict[str, float]:
    config = folder / "dnsmasq.conf"
    records = "".join(
        f"host-record={name(number)},{address(number + 256)}\n" for number in range(NAMES)
    )
    config.write_text(
        f"port={PORT}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
        f"user=root\npid-file={folder}/pid\n{records}"
    )
    server = Server(["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"], name(7))
    try:
        return load(server, folder / "questions") | {"memory_mb": server.memory_mb()}
    finally:
        server.stop()


class Api:
    """An API server in this process with SERVICES Services and their slices."""

    def __init__(self, folder: Path) -> None:
        from netemu.apiserver.server import ApiServer
        from netemu.config.cluster import ClusterConfig
        from netemu.store.memory import MemoryStore

        self.folder = folder
        self.server = ApiServer(
            ClusterConfig(), store=MemoryStore(), socket=folder / "api.sock", pki=folder / "pki"
        )
        self.client = self.server.local_client()

    async def fill(self) -> None:
        from netemu.api.kinds import ENDPOINT_SLICES, NAMESPACES
        from netemu.api.kinds import SERVICES as KIND

        for number in range(20):
            await self.client.create(NAMESPACES, {"metadata": {"name": f"ns-{number}"}})
        for number in range(SERVICES):
            obj = service(number)
            del obj["spec"]["clusterIP"], obj["spec"]["clusterIPs"]
            await self.client.create(KIND, obj)
            await self.client.create(ENDPOINT_SLICES, slice_(number))

    async def changes(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds until a changed slice is answered, and until a barrier returns."""
        from netemu.api import meta
        from netemu.api.kinds import ENDPOINT_SLICES

        seen, barriers = [], []
        for number in range(count):
            found = await self.client.get(ENDPOINT_SLICES, f"svc-{number}-x", f"ns-{number % 20}")
            changed = meta.copy(found)
            changed["endpoints"][0]["hostname"] = f"h{number}"
            started = time.perf_counter()
            await self.client.update(ENDPOINT_SLICES, changed)
            end = await asyncio.to_thread(wait_for_answer, f"h{number}.{name(number)}", None)
            seen.append(end - started)
            started = time.perf_counter()
            await self.client.barrier()
            barriers.append(time.perf_counter() - started)
        return sorted(seen), sorted(barriers)


async def from_api(folder: Path) -> dict[str, float]:
    """A resolver pod's life in a cluster of 10,000 Services."""
    from netemu.aio import spawn

    api = Api(folder)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = spawn(group, api.server.run(ready=ready), name="api")
        await ready.wait()
        await api.fill()
        argv = resolver(
            "--api", f"unix:{folder}/api.sock", "--corefile", str(folder / "Corefile"),
            "--name", "coredns",
        )  # fmt: skip
        make: Callable[[], Server] = lambda: Server(argv, name(7))  # noqa: E731
        server = await asyncio.to_thread(make)
        try:
            seen, barriers = await api.changes(100)
            figures = {
                "start_s": server.first_answer,
                "start_cpu_s": server.first_cpu,
                "memory_mb": server.memory_mb(),
                "change_p50_ms": statistics.median(seen) * 1e3,
                "change_p99_ms": seen[-2] * 1e3,
                "barrier_p99_ms": barriers[-2] * 1e3,
            }
        finally:
            server.stop()
        task.cancel()
    return figures


def coredns(folder: Path, binary: str) -> dict[str, float]:
    """CoreDNS itself on the same API, one processor."""

    async def both() -> dict[str, float]:
        from netemu.aio import spawn

        api = Api(folder)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            task = spawn(group, api.server.run(ready=ready), name="api")
            await ready.wait()
            await api.fill()
            (folder / "kubeconfig").write_text(api.server.admin_kubeconfig())
            endpoint = f"kubeconfig {folder}/kubeconfig"
            text = COREFILE.replace(":53 {", f":{PORT} {{").replace(
                "pods insecure", f"pods insecure\n       {endpoint}"
            )
            (folder / "Corefile.real").write_text(text)
            argv = ["env", "GOMAXPROCS=1", binary, "-conf", str(folder / "Corefile.real")]
            server = await asyncio.to_thread(lambda: Server(argv, name(7)))
            try:
                found = await asyncio.to_thread(load, server, folder / "questions")
                return found | {"memory_mb": server.memory_mb(), "start_s": server.first_answer}
            finally:
                server.stop()
                task.cancel()

    return asyncio.run(both())


def run() -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="bench-dns"))
    try:
        ours = stand_alone(folder)
        figures: dict[str, Any] = {"netemu": ours}
        if shutil.which("dnsmasq"):
            theirs = figures["dnsmasq"] = dnsmasq(folder)
            ratio = ours["hot"]["per_cpu_second"] / theirs["per_cpu_second"]
            figures["netemu_to_dnsmasq"] = ratio
        figures["10000_services"] = asyncio.run(from_api(folder))
        if binary := os.environ.get("COREDNS"):
            figures["coredns"] = coredns(folder, binary)
            figures["netemu_to_coredns"] = (
                ours["hot"]["per_cpu_second"] / figures["coredns"]["per_cpu_second"]
            )
        return figures
    finally:
        shutil.rmtree(folder)
