"""The bulk of a first full sync says what compiling each Service says."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from netemu.netstate import ipset, ipsetwire, ipvswire
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.ipvs import IpvsConfig, compile_ipvs
from netemu.proxy.ipvsfill import Fill, encode_servers, encode_sets, sort_out
from netemu.proxy.ipvsrules import rules_of
from netemu.proxy.model import Endpoint, NodeView, ServicePort

IPVS = 33
V4 = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
V6 = NodeView(
    name="node-1",
    address="fd00:30::2",
    addresses=("fd00:96::3",),
    local_cidr="fd00:244::/56",
    family=6,
    ipvs_scheduler="sh",
)


def _service(dice: random.Random, number: int, node: NodeView) -> Service:
    prefix, pods = ("fd00:96::", "fd00:244::") if node.family == 6 else ("10.96.0.", "10.244.1.")
    more: dict[str, Any] = {}
    if dice.random() < 0.3:
        more["node_port"] = 30000 + number
    if dice.random() < 0.2:
        more["load_balancer_ips"] = (f"{prefix}{100 + number}",)
        more["source_ranges"] = ("::/0",) if node.family == 6 else ("0.0.0.0/0", "192.0.2.0/24")
    if dice.random() < 0.2:
        more |= {"internal_local": True, "affinity_seconds": 600}
    port = ServicePort(
        namespace="d",
        name=f"s{number}",
        protocol=dice.choice(["tcp", "udp", "sctp"]),
        cluster_ip=f"{prefix}{number + 1}",
        port=80 + number,
        **more,
    )
    addresses = sorted(dice.sample(range(2, 90), dice.choice([0, 1, 5])))
    found = tuple(
        Endpoint(f"{pods}{n}", 8080, dice.choice(["node-1", "node-2", ""])) for n in addresses
    )
    local = tuple(e for e in found if e.node == "node-1") if port.uses_local_endpoints else ()
    return Service(port, Decision(found, local, bool(found)))


def _messages(blobs: Iterable[bytes]) -> list[bytes]:
    """The messages of blobs, each padded as the next one's start must be."""
    found, joined, at = [], b"".join(blobs), 0
    while at < len(joined):
        size = int.from_bytes(joined[at : at + 4], "little")
        assert size % 4 == 0
        found.append(joined[at : at + size])
        at += size
    return found


def _expected(config: IpvsConfig) -> tuple[list[bytes], list[bytes]]:
    requests: list[ipvswire.Request] = []
    for virtual, server in config.servers.items():
        requests.append((ipvswire.NEW_SERVICE, virtual, server, None))
        requests += [(ipvswire.NEW_DEST, virtual, None, real) for real in server.reals]
    servers = [ipvswire.encode_request(IPVS, request) for request in requests]
    return servers, [ipsetwire.encode(command) for command in ipset.diff({}, config.sets)]


def _assert_same(fill: Fill, config: IpvsConfig, node: NodeView) -> None:
    servers, sets = _expected(config)
    assert sorted(_messages(encode_servers(fill, IPVS))) == sorted(servers)
    assert set(_messages(encode_sets(fill))) == set(sets)
    assert set(fill.addresses) == set(config.addresses)
    assert rules_of(fill.filled, fill.shut_out, node) == config.tables


@pytest.mark.parametrize("node", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("seed", range(20))
def test_the_bulk_is_what_is_compiled_one_by_one(node: NodeView, seed: int) -> None:
    dice = random.Random(seed)
    services = {f"d/s{n}": (_service(dice, n, node),) for n in range(dice.randint(0, 12))}
    config = compile_ipvs([one for key in sorted(services) for one in services[key]], node)
    _assert_same(sort_out(services, node), config, node)


def test_a_very_large_service_is_not_one_blob() -> None:
    port = ServicePort(namespace="d", name="s", cluster_ip="10.96.0.1", port=80)
    found = tuple(Endpoint(f"10.244.{n // 250}.{n % 250 + 1}", 80, "node-2") for n in range(3000))
    service = Service(port, Decision(found, (), True))
    fill = sort_out({"d/s": (service,)}, V4)
    assert max(len(blob) for blob in encode_servers(fill, IPVS)) < 1000
    _assert_same(fill, compile_ipvs([service], V4), V4)


def test_a_virtual_server_comes_before_its_real_ones() -> None:
    services = {f"d/s{n}": (_service(random.Random(n), n, V4),) for n in range(30)}
    seen = set()
    for message in _messages(encode_servers(sort_out(services, V4), IPVS)):
        command, identity = message[16], message[24:68]
        if command == ipvswire.NEW_SERVICE:
            seen.add(identity)
        else:
            assert identity in seen


def test_what_no_bytes_can_say_is_refused() -> None:
    port = ServicePort(namespace="d", name="s", cluster_ip="10.96.0.1", port=70000)
    fill = sort_out({"d/s": (Service(port, Decision()),)}, V4)
    for blobs in (encode_sets(fill), encode_servers(fill, IPVS)):
        with pytest.raises(OverflowError):
            list(blobs)
