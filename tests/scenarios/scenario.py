"""A scenario: Kubernetes objects, and what packets to them must do; see README.md beside this file.

The world is small and fixed: two nodes with four pods each and a client pod each, two outside
machines. Flows name them; objects use their addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from netemu.api import meta
from netemu.netstate.packet import Host, Packet
from netemu.netstate.trace import Outcome, RuleSource, trace
from netemu.netstate.trace.iptables import IptablesRules
from netemu.netstate.trace.ipvs import IpvsRules
from netemu.netstate.trace.nftables import NftRules
from netemu.proxy.claims import Claims
from netemu.proxy.endpoints import Service
from netemu.proxy.flat import compile_flat
from netemu.proxy.iptables import JUMPS, compile_iptables
from netemu.proxy.ipvs import compile_ipvs
from netemu.proxy.model import NodeView, service_of_slice
from netemu.proxy.nftables import compile_nftables
from netemu.proxy.services import desired_services, seen_from

HERE = Path(__file__).parent
MODES = ("iptables", "nftables", "flat", "ipvs")

NODES = {"node-1": "172.30.0.2", "node-2": "172.30.0.3"}
SECOND_ADDRESSES = {"node-1": "172.31.0.2", "node-2": "172.31.0.3"}
OUTSIDE = {"out": "172.30.0.100", "out2": "172.30.0.101"}
PODS = {
    "client": "10.244.1.10",
    "client-2": "10.244.2.10",
    **{f"a{i}": f"10.244.1.{10 + i}" for i in (1, 2, 3, 4)},
    **{f"b{i}": f"10.244.2.{10 + i}" for i in (1, 2, 3, 4)},
}
ADDRESSES = {
    **NODES,
    **{f"{node}-second": address for node, address in SECOND_ADDRESSES.items()},
    **OUTSIDE,
    **PODS,
}
GATEWAYS = {"node-1": "10.244.1.1", "node-2": "10.244.2.1"}
ZONES = {"node-1": "zone-a", "node-2": "zone-b"}


def node_of(who: str) -> str:
    """The node that a packet of `who` meets first, when its destination does not say."""
    if who in NODES:
        return who
    if who == "client-2" or who.startswith("b"):
        return "node-2"
    return "node-1"


@dataclass(frozen=True, slots=True)
class Flow:
    """One line of flows.txt."""

    line: str
    modes: frozenset[str]
    witnesses: frozenset[str]
    who: str
    via: str
    """The node whose rules decide."""
    source_port: int
    protocol: str
    address: str
    port: int
    verdict: str
    """accept, reject, drop or none (not translated)."""
    endpoints: Mapping[str, bool] = field(default_factory=dict)
    """`address:port` -> whether the source is masqueraded."""
    sticky: bool = False

    @property
    def source(self) -> str:
        # To its own loopback a node talks from loopback.
        return self.address if self.address.startswith("127.") else ADDRESSES[self.who]


_LINE = re.compile(
    r"(?:\[(?P<modes>[^\]]+)\]\s+)?(?P<who>[\w-]+)(?::(?P<sport>\d+))?(?:@(?P<via>[\w-]+))?\s+"
    r"(?P<proto>tcp|udp|sctp)\s+(?P<to>\S+):(?P<port>\d+)\s+->\s+(?P<what>.+)"
)
_WITNESSES = {"tracer", "packets"}


def parse_flow(line: str) -> Flow:
    """`[modes] WHO[:PORT][@NODE] PROTO ADDRESS:PORT -> ENDPOINT[/masq]… [masq] [sticky]`."""
    found = _LINE.fullmatch(line)
    assert found, f"not a flow: {line}"
    words = set((found["modes"] or "").split())
    modes = frozenset(words & set(MODES)) or frozenset(MODES)
    to = ADDRESSES.get(found["to"], found["to"])
    via = found["via"] or (found["to"] if found["to"] in NODES else "")
    if found["to"].endswith("-second"):
        via = found["to"].removesuffix("-second")
    if to.startswith("198.51.100."):
        via = "node-2"  # as the outside machines' routes have it
    if found["who"] not in OUTSIDE:
        via = node_of(found["who"])
    words_after = found["what"].split()
    verdict = words_after[0] if words_after[0] in ("reject", "drop", "none") else "accept"
    all_masqueraded = "masq" in words_after
    endpoints = {}
    for word in words_after if verdict == "accept" else ():
        if word in ("masq", "sticky"):
            continue
        name, _, flag = word.partition("/")
        host, _, port = name.rpartition(":")
        endpoints[f"{ADDRESSES.get(host, host)}:{port}"] = all_masqueraded or flag == "masq"
    return Flow(
        line,
        modes,
        frozenset(words & _WITNESSES) or frozenset(_WITNESSES),
        found["who"],
        via or "node-1",
        int(found["sport"] or 0),
        found["proto"],
        to,
        int(found["port"]),
        verdict,
        endpoints,
        "sticky" in words_after,
    )


@dataclass(frozen=True, slots=True)
class StepOf:
    """Objects, and the flows that hold once they are applied."""

    objects: tuple[dict[str, Any], ...]
    flows: tuple[Flow, ...]
    options: Mapping[str, Any]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [obj for obj in self.objects if obj["kind"] == kind]

    def view(self, node: str) -> NodeView:
        """What kube-proxy of `node` knows of its node."""
        view = NodeView(
            name=node,
            address=NODES[node],
            addresses=tuple(sorted((NODES[node], SECOND_ADDRESSES[node], GATEWAYS[node]))),
            zone=ZONES[node],
            local_cidr="10.244.0.0/16",
            service_cidrs=("10.96.0.0/12",),
        )
        for obj in self.of_kind("Node"):
            if meta.name(obj) == node:
                view = seen_from(obj, view)
        return replace(view, **self.options)

    def services(self, node: str) -> dict[str, tuple[Service, ...]]:
        """What the rules of the node are made of, by Service key."""
        settled = Claims().settle(self.decided(node))
        return {key: ports for key, ports in sorted(settled.items()) if ports}

    def decided(self, node: str) -> dict[str, tuple[Service, ...]]:
        """What the node's proxy makes of each Service by itself."""
        slices: dict[str, list[dict[str, Any]]] = {}
        for obj in self.of_kind("EndpointSlice"):
            slices.setdefault(service_of_slice(obj), []).append(obj)
        view = self.view(node)
        return {
            meta.key(obj): desired_services(obj, slices.get(meta.key(obj), ()), view)
            for obj in self.of_kind("Service")
        }


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    steps: tuple[StepOf, ...]


def _options(lines: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for line in lines:
        name, _, text = line.partition(" ")
        value: Any = yaml.safe_load(text)
        options[name] = tuple(value) if isinstance(value, list) else value
    return options


def load(folder: Path) -> Scenario:
    """The scenario in `folder`: objects.yaml and flows.txt, then objects-2.yaml and so on."""
    steps = []
    for objects_file in sorted(folder.glob("objects*.yaml"), key=lambda p: (len(p.name), p.name)):
        flows_file = objects_file.with_name(
            objects_file.name.replace("objects", "flows").replace(".yaml", ".txt")
        )
        lines = [line.strip() for line in flows_file.read_text().splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        options = _options([x.removeprefix("option ") for x in lines if x.startswith("option ")])
        flows = tuple(parse_flow(x) for x in lines if not x.startswith("option "))
        objects = tuple(obj for obj in yaml.safe_load_all(objects_file.read_text()) if obj)
        steps.append(StepOf(objects, flows, options))
    assert steps, f"{folder} holds no objects.yaml"
    return Scenario(folder.name, tuple(steps))


def every() -> Iterator[Scenario]:
    for folder in sorted(path for path in HERE.iterdir() if (path / "objects.yaml").exists()):
        yield load(folder)


# --- the tracer as witness -------------------------------------------------------------------


def sources_of(
    mode: str, services: Mapping[str, tuple[Service, ...]], view: NodeView
) -> tuple[list[RuleSource], Host]:
    """The rules of one node in one mode, and the node itself."""
    ordered = [port for key in sorted(services) for port in services[key]]
    host = Host(addresses=frozenset(view.addresses))
    if mode == "nftables":
        return [NftRules(compile_nftables(ordered, view))], host
    if mode == "flat":
        return [NftRules(compile_flat(ordered, view))], host
    if mode == "ipvs":
        wanted = compile_ipvs(ordered, view)
        tables = with_jumps(wanted.tables, wanted.jumps)
        host = replace(host, placeholders=frozenset(wanted.addresses))
        return [IptablesRules(tables, wanted.sets), IpvsRules(wanted.servers)], host
    return [IptablesRules(with_jumps(compile_iptables(ordered, view), JUMPS))], host


def with_jumps(tables: Any, jumps: Any) -> dict[str, dict[str, list[str]]]:
    """Tables with the jumps from built-in chains that the node's applier would insert."""
    whole = {t: {c: list(rules) for c, rules in chains.items()} for t, chains in tables.items()}
    for jump in jumps:
        whole.setdefault(jump.table, {}).setdefault(jump.chain, []).append(jump.rule)
    return whole


def told(flow: Flow, outcomes: Sequence[Outcome]) -> tuple[str, dict[str, bool]]:
    """Outcomes in the words of flows.txt: verdict and endpoints."""
    verdicts = {o.verdict if o.verdict != "accept" or o.translated else "none" for o in outcomes}
    assert len(verdicts) == 1, f"{flow.line}: several verdicts {verdicts}"
    verdict = verdicts.pop()
    if verdict != "accept":
        return verdict, {}
    return verdict, {o.endpoint: o.masqueraded for o in outcomes}


def trace_flow(
    flow: Flow,
    sources: Sequence[RuleSource],
    host: Host,
    memory: dict[str, set[str]],
) -> list[Outcome]:
    # From a node to an address that it holds itself (kube-ipvs0), the kernel takes that address.
    own = flow.who in NODES and flow.address in host.placeholders
    packet = Packet(
        source=flow.address if own else flow.source,
        destination=flow.address,
        protocol=flow.protocol,
        destination_port=flow.port,
    )
    return trace(
        packet,
        sources,
        host,
        from_node=flow.who in NODES,
        memory=memory if flow.sticky else None,
    )
