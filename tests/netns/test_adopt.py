"""The daemon goes and comes back; the network stays. And what is not ours is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import host_state
from netemu.config import ClusterConfig
from netemu.errors import DataplaneError
from netemu.node import bare_namespaces, cleanup, netns
from netemu.node.fabric import Fabric
from netemu.node.ledger import Ledger
from netemu.node.link_messages import new_bridge
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.netlink import NetlinkSocket
from netemu.node.podnetwork import PodNetwork, PodRequest
from netemu.node.processes import inside, kill, start_time

pytestmark = [pytest.mark.netns, pytest.mark.needs("veth", "bridge")]

CONFIG = ClusterConfig(name="adopt")


class Daemon:
    """What a daemon holds of one node's network."""

    def __init__(self, config: ClusterConfig = CONFIG) -> None:
        self.config = config
        self.ledger = Ledger(config.run_dir)
        self.fabric = Fabric(config, self.ledger)
        self.holder = NamespaceHolder(config.run_dir, self.ledger)

    async def open(self) -> Daemon:
        await self.fabric.open()
        (self.node,) = await self.fabric.add(["node-1"])
        await asyncio.to_thread(self.holder.open)
        self.pods = PodNetwork(
            self.config, "node-1", self.node.netns, holder=self.holder, ledger=self.ledger
        )
        await self.pods.adopt()
        if not self.pods.ready:
            await self.pods.configure([f"10.244.0.0/{self.config.node_cidr_mask}"])
        return self

    def close(self) -> None:
        self.pods.close()
        self.fabric.close()
        self.holder.close()


def requests(*names: str) -> list[PodRequest]:
    return [PodRequest(uid=f"uid-{name}", namespace="default", name=name) for name in names]


async def ping(path: str, address: str, wait: int = 60) -> bool:
    try:
        await netns.run(path, ["ping", "-c1", f"-W{wait}", address], timeout=120)
    except DataplaneError:
        return False
    return True


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = await Daemon().open()
    yield daemon
    daemon.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []


async def test_a_new_daemon_goes_on(daemon: Daemon) -> None:
    first, second = await daemon.pods.add(requests("a", "b"))
    listener = netns.socket_in(first.netns, socket.AF_INET, socket.SOCK_STREAM)
    client = netns.socket_in(second.netns, socket.AF_INET, socket.SOCK_STREAM)
    with listener, client:
        listener.bind(("", 80))
        listener.listen()
        client.connect((first.ips[0], 80))
        server, _ = listener.accept()
        with server:
            daemon.close()
            again = await Daemon().open()
            client.sendall(b"still here")
            assert server.recv(99) == b"still here"
    assert again.pods.sandboxes() == {pod.uid: pod for pod in (first, second)}
    assert again.fabric.machines == daemon.fabric.machines
    (third,) = await again.pods.add(requests("c"))
    assert third.ips not in (first.ips, second.ips)
    assert await ping(third.netns, first.ips[0])
    await again.pods.remove([first.uid])
    assert not await ping(third.netns, first.ips[0], wait=1)
    again.close()


async def test_the_holder_is_replaced(daemon: Daemon) -> None:
    (pod,) = await daemon.pods.add(requests("a"))
    await _kill_holder(daemon)
    assert not await ping(daemon.node.netns, "10.244.0.99", wait=1)
    assert await ping(daemon.node.netns, pod.ips[0])  # the daemon holds it too
    await daemon.pods.check()
    assert await ping(pod.netns, daemon.pods.gateways[0])


async def test_adding_finds_the_holder_gone(daemon: Daemon) -> None:
    (old,) = await daemon.pods.add(requests("a"))
    await _kill_holder(daemon)
    (new,) = await daemon.pods.add(requests("b"))
    await daemon.pods.check()
    assert await ping(new.netns, old.ips[0])
    assert await ping(old.netns, new.ips[0])


async def test_both_holders_gone_means_no_pods(daemon: Daemon) -> None:
    (pod,) = await daemon.pods.add(requests("a"))
    await _kill_holder(daemon)
    daemon.close()
    again = await Daemon().open()
    assert again.pods.sandboxes() == {}
    assert not os.path.lexists(pod.netns)
    (new,) = await again.pods.add(requests("a"))
    assert await ping(new.netns, again.pods.gateways[0])
    again.close()


async def _kill_holder(daemon: Daemon) -> None:
    process = daemon.holder.process
    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while process.alive:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_pods_without_names() -> None:
    config = replace(CONFIG, pod_namespace_names=False)
    daemon = await Daemon(config).open()
    (pod,) = await daemon.pods.add(requests("a"))
    assert sorted(os.listdir(netns.NAMES)) == ["adopt.fabric", "adopt.node-1"]
    assert await ping(pod.netns, daemon.pods.gateways[0])
    daemon.close()
    assert (await asyncio.to_thread(cleanup.clean, config.run_dir)).left == []


async def test_long_pod_names_are_cut(daemon: Daemon) -> None:
    names = ["x" * 230 + "1", "x" * 230 + "2"]
    first, second = await daemon.pods.add(requests(*names))
    assert first.netns != second.netns
    assert len(Path(first.netns).name) == 200
    assert await ping(first.netns, second.ips[0])


async def test_a_full_bridge_says_so() -> None:
    config = replace(CONFIG, node_cidr_mask=20)
    daemon = await Daemon(config).open()
    await daemon.pods.add(requests(*(f"p{n}" for n in range(1023))))
    with pytest.raises(DataplaneError, match="bridge cni0 takes at most 1023 ports"):
        await daemon.pods.add(requests("p1023"))
    assert len(daemon.pods.sandboxes()) == 1023
    links = await netns.run(daemon.node.netns, ["ip", "-br", "link", "show", "master", "cni0"])
    assert len(links.splitlines()) == 1023
    daemon.close()
    assert (await asyncio.to_thread(cleanup.clean, config.run_dir)).left == []


async def test_cleaning_ends_who_is_inside() -> None:
    daemon = await Daemon().open()
    (pod,) = await daemon.pods.add(requests("a"))
    inside = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", "adopt.default.a", "sleep", "100"
    )
    async with asyncio.timeout(60):
        while os.stat(f"/proc/{inside.pid}/ns/net").st_ino != os.stat(pod.netns).st_ino:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    daemon.close()
    report = await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)
    assert report.left == []
    assert await inside.wait() == -signal.SIGKILL
    assert report.removed["process"] == 2


async def test_cleaning_spares_the_namespace_that_a_daemon_was_started_in() -> None:
    """The daemon has it open, and its neighbours there are none of ours."""
    script = "ip link set lo up; sleep 100 >/dev/null & "
    script += "exec python3 -c 'import time; "
    script += 'f = open("/proc/self/ns/net"); print(flush=True); time.sleep(100)\''
    daemon = await asyncio.create_subprocess_exec(
        "unshare", "--net", "bash", "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout is not None
    await daemon.stdout.readline()
    Ledger(CONFIG.run_dir).record("process", pid=daemon.pid, start_time=start_time(daemon.pid))
    neighbours = {os.stat(f"/proc/{daemon.pid}/ns/net").st_ino}
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
    assert await daemon.wait() == -signal.SIGTERM
    (neighbour,) = inside(neighbours)
    kill([neighbour])


@pytest.fixture
def foreign_namespace() -> Iterator[str]:
    with host_state.names_given_back():
        subprocess.run(["ip", "netns", "add", "adopt.node-1"], check=True)
        yield "adopt.node-1"
        subprocess.run(["ip", "netns", "delete", "adopt.node-1"], check=True)


async def test_a_namespace_of_someone_else_stays(foreign_namespace: str) -> None:
    daemon = Daemon()
    with pytest.raises(DataplaneError, match="adopt.node-1: create namespace: File exists"):
        await daemon.open()
    daemon.fabric.close()
    daemon.holder.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
    assert netns.is_namespace(netns.path_of(foreign_namespace))


async def test_a_machine_that_cannot_be_made_is_not_there(foreign_namespace: str) -> None:
    fabric = Fabric(CONFIG, Ledger(CONFIG.run_dir))
    await fabric.open()
    with pytest.raises(DataplaneError, match="adopt.node-1: create namespace: File exists"):
        await fabric.add(["node-0", "node-1"])
    assert fabric.machines == {}
    (other,) = await fabric.add(["node-2"])
    assert await ping(other.netns, fabric.machine_address)
    fabric.close()
    again = Fabric(CONFIG, Ledger(CONFIG.run_dir))
    await again.open()
    assert list(again.machines) == ["node-2"]
    again.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
    assert netns.is_namespace(netns.path_of(foreign_namespace))


@pytest.fixture
def foreign_link() -> Iterator[str]:
    subprocess.run("ip link add ne-adopt type veth peer name other", shell=True, check=True)
    yield "ne-adopt"
    subprocess.run("ip link delete ne-adopt", shell=True, check=True)


async def test_a_link_of_someone_else_stays(foreign_link: str) -> None:
    daemon = Daemon()
    with pytest.raises(DataplaneError, match="create link ne-adopt: File exists"):
        await daemon.open()
    daemon.fabric.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
    assert foreign_link in os.listdir("/sys/class/net")


async def test_one_cluster_leaves_the_other_alone(daemon: Daemon) -> None:
    other = await Daemon(replace(CONFIG, name="adopt-2")).open()
    (pod,) = await other.pods.add(requests("a"))
    (own,) = await daemon.pods.add(requests("a"))
    other.close()
    assert (await asyncio.to_thread(cleanup.clean, other.config.run_dir)).left == []
    assert not os.path.lexists(pod.netns)
    assert await ping(own.netns, daemon.pods.gateways[0])


async def test_power_off_and_on(daemon: Daemon) -> None:
    machine = daemon.fabric.machine_address
    assert await ping(daemon.node.netns, machine)
    await daemon.fabric.set_power("node-1", False)
    assert not await ping(daemon.node.netns, machine, wait=1)
    await daemon.fabric.set_power("node-1", True)
    assert await ping(daemon.node.netns, machine)


@pytest.fixture
def no_directory() -> Iterator[Path]:
    """/run/netns as on a machine that never had a named namespace."""
    there = netns.NAMES.is_dir()
    if there:
        try:
            netns.NAMES.rmdir()
        except OSError:
            pytest.skip("this machine has named namespaces, or had some")
    yield netns.NAMES
    if there:
        netns.NAMES.mkdir(exist_ok=True)
    elif netns.NAMES.is_dir():
        netns.NAMES.rmdir()


async def test_the_last_cluster_gives_the_directory_of_names_back(no_directory: Path) -> None:
    first = await Daemon().open()
    second = await Daemon(replace(CONFIG, name="adopt-2")).open()
    for daemon in (first, second):
        assert no_directory.is_dir()
        daemon.close()
        assert (await asyncio.to_thread(cleanup.clean, daemon.config.run_dir)).left == []
    assert not no_directory.exists()
    assert str(no_directory) not in Path("/proc/self/mountinfo").read_text()


async def test_names_made_by_ip_netns_meanwhile_stay(no_directory: Path) -> None:
    daemon = await Daemon().open()
    await netns.run("/proc/self/ns/net", ["ip", "netns", "add", "someone-elses"])
    daemon.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
    assert netns.is_namespace(netns.path_of("someone-elses"))
    assert not CONFIG.run_dir.parent.exists()
    here = "/proc/self/ns/net"
    await netns.run(here, ["ip", "netns", "delete", "someone-elses"])
    await netns.run(here, ["umount", "/run/netns"])


async def test_devices_that_the_kernel_puts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With modules for tunnels loaded, a new namespace has more than lo in it."""
    fallback = new_bridge(name="tunl0", mtu=1450, address="02:00:00:00:00:01", index=2)

    def make_pod() -> bare_namespaces.Bare:
        bare = plain_pod()
        bare.netlink.request([fallback])
        return bare

    def make_machine(name: str) -> NetlinkSocket:
        own = plain_machine(name)
        own.request([fallback])
        return own

    plain_pod, plain_machine = bare_namespaces.make_namespace, netns.create
    monkeypatch.setattr(bare_namespaces, "make_namespace", make_pod)
    monkeypatch.setattr(netns, "create", make_machine)
    daemon = await Daemon().open()
    first, second, third = await daemon.pods.add(requests("a", "b", "c"))
    assert await ping(first.netns, third.ips[0])
    assert await ping(daemon.node.netns, second.ips[0])
    assert await ping(daemon.node.netns, daemon.fabric.machine_address)
    shown = await netns.run(first.netns, ["ip", "-br", "link"])
    assert [line.split()[0] for line in shown.decode().splitlines()] == ["lo", "tunl0", "eth0@if16"]
    daemon.close()
    assert (await asyncio.to_thread(cleanup.clean, CONFIG.run_dir)).left == []
