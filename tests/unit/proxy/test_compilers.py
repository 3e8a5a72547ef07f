"""What all compilers must do, and whole rule sets written out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from netemu.netstate import nftables as nft
from netemu.netstate.iptables import rule_count
from netemu.netstate.nftables import Table
from netemu.proxy import flat, nftables
from netemu.proxy.endpoints import Service, decide
from netemu.proxy.flatwire import encode_flat
from netemu.proxy.iptables import compile_iptables, compile_service
from netemu.proxy.ipvs import compile_ipvs
from netemu.proxy.ipvssets import SETS, set_name
from netemu.proxy.model import Endpoint, NodeView, ServicePort
from netemu.proxy.nftdelta import Compile, NftState
from netemu.proxy.provenance import explain_rules
from netemu.proxy.services import SharedDecisions, desired_services

NODE = NodeView(
    name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16", service_cidrs=("10.96.0.0/12",)
)


def service(n: int, *addresses: str, **more: object) -> Service:
    port = ServicePort(
        namespace="ns1", name=f"svc{n}", port_name="p80", cluster_ip=f"10.96.0.{n}", port=80
    )
    port = replace(port, **more)
    endpoints = tuple(
        Endpoint(a, 8080, "node-1" if a.startswith("10.244.1.") else "node-2") for a in addresses
    )
    return Service(port, decide(port, endpoints, NODE))


def test_iptables_of_one_service() -> None:
    tables = compile_iptables([service(1, "10.244.1.1", "10.244.2.1")], NODE)
    nat = tables["nat"]
    svc = "KUBE-SVC-XPGD46QRK7WJZT7O"
    assert nat["KUBE-SERVICES"] == [
        '-m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80'
        f" -j {svc}",
        '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in'
        ' this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    ]
    first, second = [chain for chain in nat if chain.startswith("KUBE-SEP-")]
    assert nat[svc] == [
        '-m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80'
        " ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ",
        '-m comment --comment "ns1/svc1:p80 -> 10.244.1.1:8080" -m statistic --mode random'
        f" --probability 0.5000000000 -j {first}",
        f'-m comment --comment "ns1/svc1:p80 -> 10.244.2.1:8080" -j {second}',
    ]
    assert nat[first] == [
        '-m comment --comment "ns1/svc1:p80" -s 10.244.1.1 -j KUBE-MARK-MASQ',
        '-m comment --comment "ns1/svc1:p80" -m tcp -p tcp -j DNAT --to-destination'
        " 10.244.1.1:8080",
    ]


def test_what_is_marked_loses_its_mark_and_is_masqueraded() -> None:
    """TestMasqueradeRule: or the tunnel's packet would be masqueraded as well (k/k #92035)."""
    for tables in (compile_iptables([], NODE), compile_ipvs([], NODE).tables):
        rules = [r for r in tables["nat"]["KUBE-POSTROUTING"] if "--match-set" not in r]
        unmarked, unmark, masquerade = (rule.partition('" ')[2] or rule for rule in rules)
        assert unmarked == "-m mark ! --mark 0x4000/0x4000 -j RETURN"
        assert unmark == "-j MARK --xor-mark 0x4000"
        assert masquerade == "-j MASQUERADE --random-fully"
    for table in (nftables.compile_nftables([], NODE), flat.compile_flat([], NODE)):
        assert table.chains["masquerading"].rules[0] == (
            "meta mark & 0x4000 != 0x0 meta mark set meta mark ^ 0x4000 masquerade fully-random"
        )


def test_health_checks_are_let_in() -> None:
    """TestHealthCheckNodePort: before anything of the node's own might refuse them."""
    local = service(1, "10.244.1.1", node_port=30001, health_check_node_port=32000)
    let_in = compile_iptables([local], NODE)["filter"]["KUBE-NODEPORTS"]
    assert let_in == [
        '-m comment --comment "ns1/svc1:p80 health check node port" -m tcp -p tcp --dport 32000'
        " -j ACCEPT"
    ]
    compiled = compile_ipvs([local], NODE)
    assert "32000" in compiled.sets["KUBE-HEALTH-CHECK-NODE-PORT"].entries
    (rule,) = compiled.tables["filter"]["KUBE-NODE-PORT"]
    assert "--match-set KUBE-HEALTH-CHECK-NODE-PORT dst" in rule and rule.endswith("-j ACCEPT")


def test_iptables_probabilities_have_ten_decimals() -> None:
    addresses = [f"10.244.1.{n}" for n in range(1, 5)]
    rules = compile_service(service(1, *addresses), NODE).chains["KUBE-SVC-XPGD46QRK7WJZT7O"]
    found = [r.split("--probability ")[1].split()[0] for r in rules if "--probability" in r]
    assert found == ["0.2500000000", "0.3333333333", "0.5000000000"]


def test_iptables_large_cluster_has_no_comments_on_endpoints() -> None:
    many = [service(n, *(f"10.244.{n}.{i + 1}" for i in range(200))) for n in range(1, 7)]
    nat = compile_iptables(many, NODE)["nat"]
    endpoint_rules = [r for c, rules in nat.items() if c.startswith("KUBE-SEP-") for r in rules]
    assert endpoint_rules and not any("--comment" in rule for rule in endpoint_rules)


def test_iptables_invalid_drop_goes_with_be_liberal() -> None:
    drop = "-m conntrack --ctstate INVALID -j DROP"
    assert drop in compile_iptables([], NODE)["filter"]["KUBE-FORWARD"]
    liberal = replace(NODE, conntrack_be_liberal=True)
    assert drop not in compile_iptables([], liberal)["filter"]["KUBE-FORWARD"]


def test_nftables_of_one_service() -> None:
    table = nftables.compile_nftables([service(1, "10.244.1.1", "10.244.2.1")], NODE)
    chain = "service-ULMVA6XW-ns1/svc1/tcp/p80"
    assert table.sets["service-ips"].elements == {"10.96.0.1 . tcp . 80": f"goto {chain}"}
    assert table.chains[chain].rules == (
        "meta l4proto tcp dnat ip to numgen random mod 2"
        " map { 0 : 10.244.1.1 . 8080, 1 : 10.244.2.1 . 8080 }",
    )
    assert set(table.sets["hairpin-connections"].elements) == {
        "10.244.1.1 . 10.244.1.1 . tcp . 8080",
        "10.244.2.1 . 10.244.2.1 . tcp . 8080",
    }
    assert "ct state invalid" not in nft.render(table)


def test_flat_has_chains_by_count_and_not_by_service() -> None:
    few = flat.compile_flat([service(n, "10.244.1.1", "10.244.2.1") for n in range(1, 3)], NODE)
    many = flat.compile_flat([service(n, "10.244.1.1", "10.244.2.1") for n in range(1, 99)], NODE)
    assert few.chains == many.chains
    assert many.sets["endpoints"].elements["10.96.0.7 . tcp . 80 . 1"] == "10.244.2.1 . 8080"


def test_flat_costs_packets_of_a_known_connection_nothing() -> None:
    """The kernel asks chains of type nat once a connection, filters for each packet."""
    local = replace(
        service(1).port, external_local=True, node_port=30080, external_ips=("1.2.3.4",)
    )
    elsewhere = Service(local, decide(local, (Endpoint("10.244.2.1", 80, "node-2"),), NODE))
    table = flat.compile_flat([service(2), elsewhere], NODE)
    assert {chain.kind for chain in table.chains.values() if chain.hook} == {"nat"}
    assert table.sets["service-ips"].elements["10.96.0.2 . tcp . 80"] == "goto reject-chain"
    assert table.sets["service-ips"].elements["1.2.3.4 . tcp . 80"] == "goto ext-1-0"
    assert table.chains["ext-1-0"].rules[-1] == "drop"


def test_ipv6_rules_speak_ipv6() -> None:
    port = ServicePort(namespace="d", name="s", cluster_ip="fd00::1", port=80, node_port=30080)
    endpoints = (Endpoint("fd01::5", 8080, "node-1"),)
    six = NodeView(name="node-1", family=6, address="fd02::2", local_cidr="fd01::/64")
    one = Service(port, decide(port, endpoints, six))
    nat = compile_iptables([one], six)["nat"]
    assert any("--to-destination [fd01::5]:8080" in r for rules in nat.values() for r in rules)
    assert any("! -d ::1/128" in rule for rule in nat["KUBE-SERVICES"])
    table = nftables.compile_nftables([one], six)
    assert table.family == "ip6"
    assert not any(" ip " in f" {r} " for c in table.chains.values() for r in c.rules)
    ipvs = compile_ipvs([one], six)
    assert "KUBE-6-CLUSTER-IP" in ipvs.sets
    assert ipvs.tables["nat"]["KUBE-SERVICES"][0] == "-s ::1/128 -j RETURN"
    assert encode_flat({"d/s": (one,)}, six)


def test_every_compiler_is_deterministic() -> None:
    services = [service(n, "10.244.1.1", "10.244.2.1", node_port=30000 + n) for n in range(1, 9)]
    for compiler in (compile_iptables, nftables.compile_nftables, flat.compile_flat, compile_ipvs):
        assert repr(compiler(services, NODE)) == repr(compiler(list(services), NODE))


def test_adding_a_service_changes_no_other_services_chains() -> None:
    before = compile_iptables([service(1, "10.244.1.1")], NODE)["nat"]
    after = compile_iptables([service(1, "10.244.1.1"), service(2, "10.244.1.2")], NODE)["nat"]
    own = {c: r for c, r in before.items() if c.startswith(("KUBE-SVC", "KUBE-SEP"))}
    assert own.items() <= after.items()
    assert rule_count({"nat": after}) > rule_count({"nat": before})


def _random_service(dice: random.Random, n: int) -> tuple[Service, ...]:
    addresses = [f"10.244.{dice.randint(1, 2)}.{dice.randint(1, 6)}" for _ in range(3)]
    return (
        service(
            n,
            *sorted(set(addresses))[: dice.randint(0, 3)],
            node_port=dice.choice([0, 30000 + n]),
            external_ips=dice.choice([(), ("203.0.113.7",)]),
            external_local=dice.random() < 0.4,
            internal_local=dice.random() < 0.3,
            affinity_seconds=dice.choice([0, 0, 60]),
        ),
    )


@pytest.mark.parametrize("layout", [nftables, flat], ids=["nftables", "flat"])
@pytest.mark.parametrize("seed", range(20))
def test_changes_lead_where_a_full_compile_leads(layout: object, seed: int) -> None:
    """Deltas applied to a model of the kernel's table, against the whole compiled anew."""
    skeleton = layout.skeleton(NODE)  # type: ignore[attr-defined]
    compile_one: Compile = layout.compile_service  # type: ignore[attr-defined]
    state, dice = NftState(skeleton, compile_one, NODE), random.Random(seed)
    kernel = {n: dict(s.elements) for n, s in skeleton.sets.items()}
    chains = dict(skeleton.chains)
    held: dict[str, tuple[Service, ...]] = {}
    state.load(held)
    for _ in range(30):
        n = dice.randint(1, 5)
        key = f"ns1/svc{n}"
        new = () if dice.random() < 0.25 else _random_service(dice, n)
        delta = state.change([(key, held.get(key, ()), new)])
        held = {k: v for k, v in {**held, key: new}.items() if v}
        for name, value in delta.sets.items():
            kernel[name] = dict(value.elements)
        for name, keys in delta.removed.items():
            for element in keys:
                del kernel[name][element]
        for name, elements in delta.added.items():
            assert not set(kernel[name]) & set(elements), "added twice"
            kernel[name].update(elements)
        for name in delta.dropped_sets:
            del kernel[name]
        chains.update(delta.chains)
        for name in delta.dropped_chains:
            del chains[name]
    wanted: Table = state.table()
    assert kernel == {n: dict(s.elements) for n, s in wanted.sets.items()}
    left = {n: c for n, c in chains.items() if n not in wanted.chains}
    assert all("pick-" in name or "ext-" in name for name in left), "only counted chains may stay"
    assert {n: c for n, c in chains.items() if n not in left} == wanted.chains


@pytest.mark.parametrize("mode", ["iptables", "nftables", "flat", "ipvs"])
def test_every_rule_has_an_origin(mode: str) -> None:
    services = {"ns1/svc1": (service(1, "10.244.1.1", node_port=30080),)}
    rules = explain_rules(mode, services, NODE)
    origins = {rule.origin for rule in rules}
    assert "Service ns1/svc1:p80" in origins
    assert "Endpoint 10.244.1.1:8080 of Service ns1/svc1:p80" in origins
    assert "Node node-1, proxy settings" in origins
    chosen = explain_rules(mode, services, NODE, service="ns1/svc1")
    assert chosen and not any(rule.origin.startswith("Node") for rule in chosen)
    assert explain_rules(mode, services, NODE, service="ns1/other") == []


def _objects() -> tuple[dict[str, object], dict[str, object]]:
    raw = {
        "metadata": {"namespace": "d", "name": "s"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    }
    endpoint_slice = {
        "metadata": {"namespace": "d", "name": "s-x"},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": ["10.244.1.1"], "nodeName": "node-1"}],
    }
    return raw, endpoint_slice


def test_nodes_of_one_process_share_what_does_not_depend_on_them() -> None:
    raw, endpoint_slice = _objects()
    shared, other = SharedDecisions(), replace(NODE, name="node-2")
    first = shared.decide("d/s", raw, [endpoint_slice], NODE)
    assert shared.decide("d/s", raw, [endpoint_slice], other) is first
    assert first == desired_services(raw, [endpoint_slice], NODE)
    raw["spec"] = {**raw["spec"], "internalTrafficPolicy": "Local"}  # type: ignore[dict-item]
    changed = dict(raw)
    local = shared.decide("d/s", changed, [endpoint_slice], other)
    assert local == desired_services(changed, [endpoint_slice], other) != first
    assert shared.decide("d/s", None, [], NODE) == ()


def test_the_kernel_takes_the_names_of_ipv6_sets() -> None:
    names = {set_name(name, 6) for name in SETS}
    assert len(names) == len(SETS)
    assert max(map(len, names)) <= 31
    assert "KUBE-6-LOAD-BALANCER-SOURCE-CID" in names, "as kube-proxy cuts it"
