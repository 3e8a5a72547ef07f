"""All modes give random Services one reachability: endpoints, source, reject or drop.

The differences that the real modes have are listed in `_differs` and in netemu/proxy/README.md.
NETEMU_FUZZ says how many seeds are tried (scripts/fuzz: thousands).
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from netemu.netstate.packet import Packet, is_in
from netemu.netstate.trace import trace
from netemu.proxy import nodeports
from netemu.proxy.model import NodeView
from scenarios import scenario

SEEDS = int(os.environ.get("NETEMU_FUZZ", "200"))
CHUNK = 50


def _service(dice: random.Random, number: int) -> dict[str, Any]:
    kind = dice.choice(["ClusterIP", "NodePort", "LoadBalancer"])
    ports = []
    for index in range(dice.randint(1, 2)):
        port: dict[str, Any] = {
            "name": f"p{index}",
            "port": 80 + 10 * number + index,
            "protocol": dice.choice(["TCP", "UDP", "SCTP"]),
        }
        if kind != "ClusterIP":
            port["nodePort"] = 30000 + number * 10 + index
        ports.append(port)
    spec: dict[str, Any] = {"type": kind, "clusterIP": f"10.96.1.{number + 1}", "ports": ports}
    if dice.random() < 0.3:
        # Several Services may have one address, at other ports.
        spec["externalIPs"] = [f"203.0.113.{100 + number}", "203.0.113.99"][: dice.randint(1, 2)]
    if dice.random() < 0.4:
        spec["externalTrafficPolicy"] = "Local"
    if dice.random() < 0.3:
        spec["internalTrafficPolicy"] = "Local"
    if dice.random() < 0.2:
        spec["sessionAffinity"] = "ClientIP"
    if kind == "LoadBalancer" and dice.random() < 0.5:
        ranges = ["172.30.0.100/32", "172.30.0.0/28", "10.244.0.0/16"]
        spec["loadBalancerSourceRanges"] = dice.sample(ranges, dice.randint(1, 3))
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": f"s{number}"},
        "spec": spec,
    }
    if kind == "LoadBalancer":
        obj["status"] = {"loadBalancer": {"ingress": _ingress(dice, number)}}
    return obj


def _ingress(dice: random.Random, number: int) -> list[dict[str, str]]:
    """One or two addresses of a load balancer; some deliver to pods themselves (KEP-1860)."""
    found = []
    for address in (f"203.0.113.{number + 1}", f"198.51.100.{number + 1}")[: dice.randint(1, 2)]:
        found.append({"ip": address})
        if dice.random() < 0.2:
            found[-1]["ipMode"] = "Proxy"
    return found


def _endpoint(dice: random.Random, name: str) -> dict[str, Any]:
    state = dice.choice(["ready"] * 5 + ["unready", "terminating", "gone"])
    raw: dict[str, Any] = {
        "addresses": [scenario.PODS[name]],
        "nodeName": scenario.node_of(name),
        "conditions": {
            "ready": state == "ready",
            "serving": state in ("ready", "terminating"),
            "terminating": state in ("terminating", "gone"),
        },
    }
    if dice.random() < 0.7:
        raw["hints"] = {"forZones": [{"name": dice.choice(["zone-a", "zone-b"])}]}
        if dice.random() < 0.5:
            raw["hints"]["forNodes"] = [{"name": dice.choice(["node-1", "node-2"])}]
    return raw


def _slice(dice: random.Random, service: dict[str, Any]) -> dict[str, Any]:
    names = dice.sample(["a1", "a2", "a3", "b1", "b2", "b3"], dice.randint(0, 5))
    name = service["metadata"]["name"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": f"{name}-x",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": p["name"], "protocol": p["protocol"], "port": 8000 + p["port"]}
            for p in service["spec"]["ports"]
        ],
        "endpoints": [_endpoint(dice, n) for n in names],
    }


_NODE_PORT_ADDRESSES = (
    ("0.0.0.0/0",),
    ("172.31.0.0/16",),
    ("172.30.0.0/15", "127.0.0.0/8"),
    ("192.0.2.0/24",),
    ("primary",),
)


def _world(seed: int) -> Any:
    dice = random.Random(seed)
    services = [_service(dice, n) for n in range(dice.randint(1, 4))]
    options: dict[str, Any] = {}
    if dice.random() < 0.2:
        options["masquerade_all"] = True
    elif dice.random() < 0.2:
        options["local_cidr"] = ""
    if dice.random() < 0.4:
        options["node_port_addresses"] = dice.choice(_NODE_PORT_ADDRESSES)
    objects = [*services, *(_slice(dice, s) for s in services)]
    return scenario.StepOf(tuple(objects), (), options)


def _targets(service: dict[str, Any], node: str, step: Any) -> list[tuple[str, str, str, int]]:
    """(kind of address, protocol, address, port) of every way to a Service at `node`."""
    found = []
    spec = service["spec"]
    for port in spec["ports"]:
        protocol = port["protocol"].lower()
        addresses = [("cluster", spec["clusterIP"])]
        addresses += [("external", a) for a in spec.get("externalIPs", ())]
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
        addresses += [("balancer", i["ip"]) for i in ingress]
        found += [(kind, protocol, address, port["port"]) for kind, address in addresses]
        if "nodePort" in port:
            own = [scenario.NODES[node]]
            if "node_port_addresses" in step.options:  # by default modes differ
                own.append(scenario.SECOND_ADDRESSES[node])
            found += [("node", protocol, address, port["nodePort"]) for address in own]
    return found


def _told(rules: Any, node: str, who: str, to: tuple[Any, ...]) -> tuple[str, frozenset[Any]]:
    sources, host = rules
    protocol, address, port = to
    own = who == node and address in host.placeholders
    packet = Packet(
        source=address if own else scenario.ADDRESSES[who],
        destination=address,
        protocol=protocol,
        destination_port=port,
    )
    outcomes = trace(packet, sources, host, from_node=who == node)
    verdicts = {o.verdict if o.verdict != "accept" or o.translated else "none" for o in outcomes}
    assert len(verdicts) == 1, (who, to, verdicts)
    verdict = verdicts.pop()
    reached = [(o.endpoint, o.masqueraded) for o in outcomes if verdict == "accept"]
    return verdict, frozenset(reached)


def _differs(service: dict[str, Any], kind: str, step: Any) -> bool:
    """Where real IPVS mode differs: Local policies, and who is masqueraded without detector."""
    spec = service["spec"]
    if step.options.get("local_cidr") == "":
        return True
    policy = "internalTrafficPolicy" if kind == "cluster" else "externalTrafficPolicy"
    # Source ranges of a Service without endpoints: refused by IPVS's sets before anything else.
    return spec.get(policy) == "Local" or (kind == "balancer" and _has_ranges(spec))


def _has_ranges(spec: dict[str, Any]) -> bool:
    return bool(spec.get("loadBalancerSourceRanges"))


def _kept_out(service: dict[str, Any], kind: str, who: str) -> bool:
    ranges = service["spec"].get("loadBalancerSourceRanges") or ()
    outside = not any(is_in(scenario.ADDRESSES[who], cidr.strip()) for cidr in ranges)
    return kind == "balancer" and bool(ranges) and outside


def _serves(view: NodeView, kind: str, address: str) -> bool:
    served = nodeports.addresses(view, "nftables") if kind == "node" else None
    return served is None or address in served


_SEEN_FROM = (
    ("node-1", ("client", "a1", "node-1", "out")),
    ("node-2", ("client-2", "b1", "node-2", "out")),
)


def _check(seed: int) -> None:
    step = _world(seed)
    node, people = random.Random(seed).choice(_SEEN_FROM)
    services, view = step.services(node), step.view(node)
    rules = {mode: scenario.sources_of(mode, services, view) for mode in scenario.MODES}
    for service in step.of_kind("Service"):
        for kind, *to in _targets(service, node, step):
            for who in people:
                where = (seed, service["metadata"]["name"], kind, who, to)
                wanted = _told(rules["iptables"], node, who, tuple(to))
                if wanted[0] == "none" and who == node and kind in ("external", "balancer"):
                    # iptables mode refuses external addresses in INPUT and FORWARD only.
                    continue
                if wanted[0] in ("reject", "drop") and not _serves(view, kind, to[1]):
                    # iptables mode refuses NodePorts without endpoints on every address.
                    wanted = ("none", frozenset())
                if wanted[0] == "reject" and _kept_out(service, kind, who):
                    # iptables mode looks at source ranges only where there are endpoints.
                    wanted = ("drop", frozenset())
                assert _told(rules["nftables"], node, who, tuple(to)) == wanted, (
                    "nftables",
                    *where,
                )
                assert _told(rules["flat"], node, who, tuple(to)) == wanted, ("flat", *where)
                if not _differs(service, kind, step):
                    assert _told(rules["ipvs"], node, who, tuple(to)) == wanted, ("ipvs", *where)


@pytest.mark.parametrize("chunk", range(SEEDS // CHUNK))
def test_modes_agree(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        _check(seed)
