"""Pods of all nodes reach each other with real packets, and the nodes look as flannel's do."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import host_state
from emulated import EmulatedNetwork, emulated
from netemu.api.kinds.node import NODES
from netemu.config import ClusterConfig, HostConfig
from netemu.errors import DataplaneError
from netemu.node import netns

pytestmark = [pytest.mark.netns, pytest.mark.needs("veth", "bridge", "vxlan", "iptables")]

CONFIG = ClusterConfig(name="net", hosts=(HostConfig(name="client"),))
PODS = {"a": "node-1", "b": "node-1", "c": "node-2", "d": "node-3"}


@pytest.fixture
async def network() -> AsyncIterator[EmulatedNetwork]:
    async with emulated(CONFIG, pods=PODS) as built:
        yield built


async def test_all_pods_reach_each_other_at_the_first_packet(network: EmulatedNetwork) -> None:
    for source in PODS:
        for target in PODS:
            output = await network.at(source, "ping", "-c1", "-W60", network.pods[target].ips[0])
            assert "1 received" in output


async def test_machine_hosts_and_nodes_reach_each_other(network: EmulatedNetwork) -> None:
    machines = [*network.nodes.values(), network.fabric.machines["client"]]
    for target in machines:
        for source in ("machine", "node-1", "client"):
            assert "1 received" in await network.at(source, "ping", "-c1", "-W60", target.address)
    for source in ("node-2", "client"):
        address = network.fabric.machine_address
        assert "1 received" in await network.at(source, "ping", "-c1", "-W60", address)


async def test_mtu(network: EmulatedNetwork) -> None:
    target = network.pods["c"].ips[0]
    fits = await network.at("a", "ping", "-c1", "-W60", "-M", "do", "-s", "1422", target)
    assert "1 received" in fits
    with pytest.raises(DataplaneError, match="message too long, mtu=1450"):
        await network.at("a", "ping", "-c1", "-W1", "-M", "do", "-s", "1423", target)


async def test_vxlan_on_the_wire(network: EmulatedNetwork) -> None:
    source, target = network.pods["a"].ips[0], network.pods["c"].ips[0]
    capture = asyncio.ensure_future(  # noqa: TID251
        network.at("node-2", "tcpdump", "-c2", "-nnv", "-Tvxlan", "-ieth0", "udp port 8472")
    )
    while not capture.done():  # it may begin to look after some of them
        await network.at("a", "ping", "-c1", "-W60", target)
    seen = await capture
    node_1, node_2 = network.nodes["node-1"].address, network.nodes["node-2"].address
    assert re.search(rf"{node_1}\.\d+ > {node_2}\.8472: .*VXLAN, flags \[I\].*vni 1\b", seen)
    assert f"{source} > {target}: ICMP echo request" in seen
    assert f"{target} > {source}: ICMP echo reply" in seen


async def test_node_shows_what_flannel_shows(network: EmulatedNetwork) -> None:
    nodes = network.nodes
    link = await network.at("node-1", "ip", "-d", "link", "show", "flannel.1")
    assert f"vxlan id 1 local {nodes['node-1'].address} dev eth0" in link
    assert "dstport 8472 nolearning" in link
    assert "mtu 1450" in link
    fdb = await network.at("node-1", "bridge", "fdb", "show", "dev", "flannel.1")
    assert sorted(line.partition(" ")[2].strip() for line in fdb.splitlines()) == [
        f"dst {nodes['node-2'].address} self permanent",
        f"dst {nodes['node-3'].address} self permanent",
    ]
    neighbours = await network.at("node-1", "ip", "neigh", "show", "dev", "flannel.1")
    macs = {line.partition(" ")[0] for line in fdb.splitlines()}
    assert sorted(neighbours.split("\n")[:-1]) == sorted(
        f"10.244.{number}.0 lladdr {mac} PERMANENT "
        for number, mac in zip((1, 2), _by_destination(fdb), strict=True)
    )
    assert len(macs) == 2
    routes = await network.at("node-1", "ip", "route")
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in routes
    assert "10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1" in routes
    address = await network.at("node-1", "ip", "-4", "-oneline", "address", "show", "flannel.1")
    assert "inet 10.244.0.0/32 " in address
    subnet_env = network.config.node_dir("node-1") / "flannel" / "subnet.env"
    assert subnet_env.read_text() == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.0.1/24\n"
        "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )


def _by_destination(fdb: str) -> list[str]:
    """MACs in the order of their nodes' addresses."""
    lines = sorted(fdb.splitlines(), key=lambda line: line.partition("dst ")[2])
    return [line.partition(" ")[0] for line in lines]


async def test_ip_netns_works_on_pods(network: EmulatedNetwork) -> None:
    listed = await network.at("machine", "ip", "netns", "list")
    names = {line.split(" ")[0] for line in listed.splitlines()}
    assert {"net.fabric", "net.node-1", "net.client", "net.default.a"} <= names
    shown = await network.at("machine", "ip", "netns", "exec", "net.default.a", "ip", "-br", "a")
    assert network.pods["a"].ips[0] in shown
    assert "127.0.0.1/8" in shown


async def test_masquerading(network: EmulatedNetwork) -> None:
    """Outside hosts see the node, other nodes see flannel.1, pods see pods."""
    client, c = network.fabric.machines["client"].address, network.pods["c"].ips[0]
    assert await _source_seen(network, "a", "client", client) == network.nodes["node-1"].address
    assert await _source_seen(network, "a", "c", c) == network.pods["a"].ips[0]
    assert await _source_seen(network, "node-1", "c", c) == "10.244.0.0"


async def _source_seen(network: EmulatedNetwork, source: str, target: str, address: str) -> str:
    """The address that `target` sees when `source` connects to it."""
    path = network.pods[target].netns if target in network.pods else netns.path_of(f"net.{target}")
    listener = netns.socket_in(path, 2, 1)
    try:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        listener.settimeout(60)
        port = str(listener.getsockname()[1])
        await network.at(source, "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}")
        connection, peer = listener.accept()
        connection.close()
    finally:
        listener.close()
    return str(peer[0])


@pytest.mark.parametrize(
    "damage",
    [
        "ip link delete flannel.1",
        "ip route delete 10.244.1.0/24",
        "ip neigh flush dev flannel.1 nud permanent",
        "ip link set flannel.1 down",
        "ip link delete cni0",
        "ip link set cni0 down",
        "ip address flush dev cni0",
        "iptables -t nat -F",
        "iptables -F FLANNEL-FWD",
    ],
)
async def test_what_someone_breaks_comes_back(network: EmulatedNetwork, damage: str) -> None:
    before = await _picture(network)
    await network.at("node-1", *damage.split())  # raises when there was nothing to break
    async with asyncio.timeout(60):
        while await _picture(network) != before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await network.at("a", "ping", "-c1", "-W60", network.pods["b"].ips[0])
    await network.at("a", "ping", "-c1", "-W60", network.pods["c"].ips[0])


async def _picture(network: EmulatedNetwork) -> list[str]:
    shown = await network.at(
        "node-1",
        "bash",
        "-c",
        "ip -br addr; ip route; ip neigh show nud permanent; bridge fdb show dev flannel.1; "
        "bridge link; iptables-save | grep ^-A",
    )
    return sorted(re.sub(r"@.*|:.*", "", line).strip() for line in shown.splitlines())


async def test_a_node_that_leaves_is_forgotten(network: EmulatedNetwork) -> None:
    await network.client.delete(NODES, "node-3")
    await network.client.barrier()
    routes = await network.at("node-1", "ip", "route")
    assert "10.244.2.0" not in routes
    assert "10.244.1.0" in routes
    await network.fabric.remove("node-3")
    assert "net.node-3" not in await network.at("machine", "ip", "netns", "list")
    assert "172.30.0.4" not in await network.at("node-1", "ip", "neigh")


@pytest.mark.parametrize("address", ["10.244.0.255", "224.0.0.99"])
async def test_broadcast_and_multicast_stay_on_the_node(
    network: EmulatedNetwork, address: str
) -> None:
    """The bridge answers ARP itself; it must not hold back what is for all."""
    path = network.pods["b"].netns
    listener = netns.socket_in(path, socket.AF_INET, socket.SOCK_DGRAM)
    sender = netns.socket_in(network.pods["a"].netns, socket.AF_INET, socket.SOCK_DGRAM)
    with listener, sender:
        listener.settimeout(60)
        listener.bind(("", 0))
        if address.startswith("224"):
            group = socket.inet_aton(address) + socket.inet_aton(network.pods["b"].ips[0])
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"all", (address, listener.getsockname()[1]))
        assert listener.recv(9) == b"all"


async def test_removed_pods_are_gone_and_their_addresses_rest(network: EmulatedNetwork) -> None:
    old = network.pods.pop("b")
    await network.networks["node-1"].remove([old.uid, "unknown"])
    with pytest.raises(DataplaneError):
        await network.at("a", "ping", "-c1", "-W1", old.ips[0])
    assert old.uid not in network.networks["node-1"].sandboxes()
    new = await network.add_pod("node-1", "b")
    assert new.ips != old.ips
    assert "1 received" in await network.at("a", "ping", "-c1", "-W60", new.ips[0])


async def test_adding_a_pod_twice_changes_nothing(network: EmulatedNetwork) -> None:
    first = network.pods["a"]
    assert await network.add_pod("node-1", "a") == first


async def test_the_machine_itself_gets_a_link_and_a_route_and_nothing_else() -> None:
    before = host_state.observe()
    async with emulated(CONFIG, pods=PODS):
        during = host_state.observe()
    assert during.links - before.links == {"ne-net"}
    assert during.rules == before.rules
    changed = during.settings ^ before.settings
    assert [line for line in changed if "/ne-net/" not in line] == []
    routes = [line for line in during.routes - before.routes if "table local" not in line]
    assert routes == ["ip: 172.30.0.0/24 dev ne-net proto kernel scope link src 172.30.0.1"]


async def test_hosts_may_have_addresses_of_elsewhere() -> None:
    hosts = (HostConfig(name="far", address="192.0.2.10"),)
    async with emulated(replace(CONFIG, hosts=hosts), pods={"a": "node-1"}) as network:
        assert "1 received" in await network.at("a", "ping", "-c1", "-W60", "192.0.2.10")
        node = network.nodes["node-1"].address
        assert "1 received" in await network.at("far", "ping", "-c1", "-W60", node)


async def test_two_clusters_with_the_same_ranges() -> None:
    async with (
        emulated(CONFIG, pods={"a": "node-1", "c": "node-2"}) as one,
        emulated(replace(CONFIG, name="other"), pods={"a": "node-1", "c": "node-2"}) as two,
    ):
        assert one.pods["c"].ips == two.pods["c"].ips
        assert one.fabric.node_subnet != two.fabric.node_subnet
        for network in (one, two):
            assert "1 received" in await network.at("a", "ping", "-c1", network.pods["c"].ips[0])


async def test_host_gw_and_its_mtu() -> None:
    config = replace(CONFIG, overlay_backend="host-gw")
    async with emulated(config, pods={"a": "node-1", "c": "node-2"}) as network:
        target = network.pods["c"].ips[0]
        fits = await network.at("a", "ping", "-c1", "-W60", "-M", "do", "-s", "1472", target)
        assert "1 received" in fits
        route = f"10.244.1.0/24 via {network.nodes['node-2'].address} dev eth0"
        assert route in await network.at("node-1", "ip", "route")
        assert "flannel" not in await network.at("node-1", "ip", "link")


async def test_direct_routing() -> None:
    config = replace(CONFIG, direct_routing=True)
    async with emulated(config, pods={"a": "node-1", "c": "node-2"}) as network:
        assert "1 received" in await network.at("a", "ping", "-c1", network.pods["c"].ips[0])
        route = f"10.244.1.0/24 via {network.nodes['node-2'].address} dev eth0"
        assert route in await network.at("node-1", "ip", "route")


async def test_dual_stack() -> None:
    config = replace(
        CONFIG,
        pod_subnets=("10.244.0.0/16", "fd00:10:244::/56"),
        service_subnets=("10.96.0.0/12", "fd00:10:96::/112"),
    )
    async with emulated(config, pods={"a": "node-1", "b": "node-1", "c": "node-2"}) as network:
        assert network.pods["a"].ips == ("10.244.0.2", "fd00:10:244::2")
        for target in ("b", "c"):
            for address in network.pods[target].ips:
                assert "1 received" in await network.at("a", "ping", "-c1", "-W60", address)
        assert "flannel-v6.1" in await network.at("node-1", "ip", "-6", "route")


async def test_where_many_pods_are_expected_they_meet_at_their_gateway() -> None:
    config = replace(CONFIG, node_cidr_mask=22)
    async with emulated(config, pods={"a": "node-1", "b": "node-1", "c": "node-2"}) as network:
        seen = await network.at("a", "ping", "-c1", "-W60", network.pods["b"].ips[0])
        assert "ttl=63" in seen
        assert await _source_seen(network, "a", "b", network.pods["b"].ips[0]) == "10.244.0.2"
        assert "1 received" in await network.at("a", "ping", "-c1", network.pods["c"].ips[0])
        neighbours = await network.at("a", "ip", "neigh")
        assert neighbours == "10.244.0.1 dev eth0 lladdr 0a:58:0a:f4:00:01 PERMANENT \n"
        route = await network.at("a", "ip", "route")
        assert route == "default via 10.244.0.1 dev eth0 onlink \n"


async def test_few_pods_meet_on_the_bridge(network: EmulatedNetwork) -> None:
    seen = await network.at("a", "ping", "-c1", "-W60", network.pods["b"].ips[0])
    assert "ttl=64" in seen
    route = await network.at("a", "ip", "route")
    assert "10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.2" in route


async def test_first_error_is_clear_when_addresses_run_out() -> None:
    config = replace(CONFIG, node_cidr_mask=29)
    async with emulated(config, pods={}) as network:
        for number in range(5):
            await network.add_pod("node-1", f"p{number}")
        with pytest.raises(DataplaneError, match="no IP addresses available in range set"):
            await network.add_pod("node-1", "one-more")
        await network.networks["node-1"].remove(["uid-p0"])
        assert (await network.add_pod("node-1", "one-more")).ips == ("10.244.0.2",)
