"""The overlay: how fast it is built, and what it carries beside a hand-built VXLAN.

The hand-built one has the same shape, made with `ip`, `bridge` and `iptables`: two nodes with
eth0, flannel.1, cni0 and one pod each, static entries, conntrack and a masquerading rule. Client
and server are pinned to different cores; the two networks take turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from netemu.config import ClusterConfig, NodeConfig
from netemu.node import cleanup, netns
from netemu.node.fabric import Fabric
from netemu.node.ledger import Ledger
from netemu.node.machine import Machine
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.network_apply import apply_network
from netemu.node.overlay import settings_of
from netemu.node.podnetwork import PodNetwork, PodRequest
from netemu.overlay import masquerade, plan
from netemu.overlay.lease import annotations_of

ROUNDS, SECONDS = 5, 1.0
RECEIVER = """
import os, socket, sys, time
os.sched_setaffinity(0, {1 % os.cpu_count()})
listener = socket.create_server(("", 5001))
print("ready", flush=True)
connection, _ = listener.accept()
buffer, total, start = bytearray(1 << 20), 0, time.perf_counter()
while count := connection.recv_into(buffer):
    total += count
print(total * 8 / 1e9 / (time.perf_counter() - start))
"""
SENDER = """
import os, socket, sys, time
os.sched_setaffinity(0, {0})
connection, data = socket.create_connection((sys.argv[1], 5001)), bytes(1 << 20)
end = time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    connection.sendall(data)
"""
HAND_BUILT = """
set -e
ip netns add hb-wire; ip -n hb-wire link add name br0 type bridge
ip -n hb-wire link set dev br0 up
for n in 1 2; do
  ip netns add hb-$n; ip netns add hb-pod-$n
  ip -n hb-wire link add name p$n mtu 1500 type veth peer name eth0 netns hb-$n
  ip -n hb-wire link set dev p$n master br0 up
  ip -n hb-$n link set eth0 up; ip -n hb-$n address add 172.29.0.$n/24 dev eth0
  ip -n hb-$n link add name cni0 mtu 1450 type bridge mcast_snooping 0; ip -n hb-$n link set cni0 up
  ip -n hb-$n address add 10.99.$n.1/24 dev cni0
  ip -n hb-$n link add name veth0 mtu 1450 type veth peer name eth0 netns hb-pod-$n
  ip -n hb-$n link set veth0 master cni0 up
  ip -n hb-pod-$n link set eth0 mtu 1450 up; ip -n hb-pod-$n link set lo up
  ip -n hb-pod-$n address add 10.99.$n.2/24 dev eth0
  ip -n hb-pod-$n route add default via 10.99.$n.1
  ip -n hb-$n link add name flannel.1 mtu 1450 address 02:00:00:00:00:0$n \\
    type vxlan id 1 dstport 8472 local 172.29.0.$n dev eth0 nolearning
  ip -n hb-$n link set flannel.1 up; ip -n hb-$n address add 10.99.$n.0/32 dev flannel.1
  ip netns exec hb-$n sysctl -qw net.ipv4.ip_forward=1
  ip netns exec hb-$n iptables -t nat -A POSTROUTING -s 10.99.0.0/16 ! -d 10.99.0.0/16 -j MASQUERADE
  ip netns exec hb-$n iptables -A FORWARD -s 10.99.0.0/16 -j ACCEPT
done
for n in 1 2; do
  o=$((3 - n))
  ip -n hb-$n neigh add 10.99.$o.0 lladdr 02:00:00:00:00:0$o dev flannel.1 nud permanent
  ip netns exec hb-$n bridge fdb add 02:00:00:00:00:0$o dev flannel.1 dst 172.29.0.$o
  ip -n hb-$n route add 10.99.$o.0/24 via 10.99.$o.0 dev flannel.1 onlink
done
"""
REMOVE_HAND_BUILT = "for n in wire 1 2 pod-1 pod-2; do ip netns delete hb-$n; done"


class Network:
    """Underlay, nodes and overlay of `count` nodes."""

    def __init__(self, count: int) -> None:
        nodes = tuple(NodeConfig(name=f"node-{number}") for number in range(count))
        self.config = ClusterConfig(name="bench", nodes=nodes)
        self.ledger = Ledger(self.config.run_dir)
        self.fabric = Fabric(self.config, self.ledger)
        self.holder = NamespaceHolder(self.config.run_dir, self.ledger)

    async def open(self) -> tuple[float, float]:
        """Seconds for the nodes, and for all of the overlay."""
        start = time.perf_counter()
        await self.fabric.open()
        self.machines = await self.fabric.add([node.name for node in self.config.nodes])
        plugged = time.perf_counter()
        await asyncio.to_thread(self._overlay)
        return plugged - start, time.perf_counter() - plugged

    def _overlay(self) -> None:
        settings = settings_of(self.config)
        nodes, owns = [], []
        for number, machine in enumerate(self.machines):
            node: dict[str, Any] = _node(machine, number)
            macs = {4: f"02:00:00:00:00:{number:02x}", 6: ""}
            own = plan.own_leases(node, machine.addresses, settings, macs)  # type: ignore[arg-type]
            node["metadata"]["annotations"] = annotations_of(own)
            nodes.append(node)
            owns.append(own)
        tunnels = [settings.vxlan_name(4)]
        for machine, own in zip(self.machines, owns, strict=True):
            network = plan.plan_node(own, nodes, settings).network
            sock = netns.netlink_in(machine.netns)
            apply_network(sock, network, tunnels, settings.networks)
            sock.close()

    async def add_pods(self) -> list[tuple[str, str]]:
        """(namespace path, address) of a pod on each of the first two nodes, and the real rules."""
        await asyncio.to_thread(self.holder.open)
        pods = []
        for number, machine in enumerate(self.machines[:2]):
            subnet = f"10.244.{number}.0/24"
            network = PodNetwork(
                self.config, machine.name, machine.netns, holder=self.holder, ledger=self.ledger
            )
            await network.configure([subnet])
            (pod,) = await network.add(
                [PodRequest(uid=f"u{number}", namespace="default", name=f"p{number}")]
            )
            network.close()
            rules = masquerade.diff(masquerade.compile_rules("10.244.0.0/16", subnet), "")
            restore = ["iptables-restore", "--noflush"]
            await netns.run(machine.netns, restore, stdin=rules.encode())
            pods.append((pod.netns, pod.ips[0]))
        return pods

    def close(self) -> None:
        self.fabric.close()
        self.holder.close()
        report = cleanup.clean(self.config.run_dir)
        assert report.left == [], report.left


def _node(machine: Machine, number: int) -> dict[str, Any]:
    return {"metadata": {"name": machine.name}, "spec": {"podCIDR": f"10.244.{number}.0/24"}}


async def build(count: int) -> dict[str, float]:
    """Seconds to plug in and to build the overlay of `count` nodes, checked by ping."""
    network = Network(count)
    nodes, overlay = await network.open()
    first, last = network.machines[0], count - 1
    await netns.run(first.netns, ["ping", "-c1", "-W1", f"10.244.{last}.0"])
    await asyncio.to_thread(network.close)
    return {"nodes_s": round(nodes, 4), "overlay_s": round(overlay, 4)}


def gigabits(client: str, server: str, address: str) -> float:
    """TCP throughput from one namespace to another."""
    enter = ["nsenter", f"--net={server}", sys.executable, "-c", RECEIVER]
    with subprocess.Popen(enter, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        send = ["nsenter", f"--net={client}", sys.executable, "-c", SENDER, address, str(SECONDS)]
        subprocess.run(send, check=True)
        return float(receiver.stdout.readline())


async def traffic() -> dict[str, float]:
    """Gbit/s between pods of two nodes, and the ratio to the hand-built network."""
    await asyncio.to_thread(subprocess.run, HAND_BUILT, shell=True, check=True)
    network = Network(2)
    await network.open()
    (client, _), (server, address) = await network.add_pods()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(await asyncio.to_thread(gigabits, client, server, address))
        paths = ("/run/netns/hb-pod-1", "/run/netns/hb-pod-2")
        theirs.append(await asyncio.to_thread(gigabits, *paths, "10.99.2.2"))
    await asyncio.to_thread(network.close)
    await asyncio.to_thread(subprocess.run, REMOVE_HAND_BUILT, shell=True, check=True)
    return {
        "tcp_gbit_s": round(statistics.median(ours), 2),
        "hand_built_gbit_s": round(statistics.median(theirs), 2),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
    }


def run() -> dict[str, Any]:
    figures: dict[str, Any] = {f"build_{n}": asyncio.run(build(n)) for n in (3, 50)}
    figures["traffic"] = asyncio.run(traffic())
    figures["cores"] = os.cpu_count()
    return figures


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
