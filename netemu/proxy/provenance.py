"""Every rule of a node with the object that it comes from: what `netemu rules NODE` prints.

A ServicePort is compiled by itself, so whatever comes out is its own; what is left of the whole are
the fixed parts, which come from the node and the proxy's settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netemu.proxy import flat, iptables, ipvs, nftables
from netemu.proxy.endpoints import Service
from netemu.proxy.ipvssets import set_name
from netemu.proxy.model import NodeView


@dataclass(frozen=True, slots=True)
class OriginRule:
    """One rule, set element or virtual server."""

    where: str
    """`nat KUBE-SERVICES`, `map service-ips`, `chain services`, `ipset KUBE-CLUSTER-IP`, `ipvs`."""
    rule: str
    origin: str
    """`Service default/web:http`, `Endpoint 10.244.1.5:8080 of Service …`, `Node node-1, …`."""


def _origin(service: Service) -> str:
    return f"Service {service.port.key}"


def _endpoint_of(service: Service, text: str) -> str:
    """The endpoint that a chain's name or a rule speaks of, if there is one."""
    for endpoint in service.endpoints.reachable:
        pair, itself = f"{endpoint.address} . {endpoint.port}", f"{endpoint.address} . "
        if endpoint.text in text or pair in text or text.startswith(itself + itself[:-3]):
            return f"Endpoint {endpoint.text} of {_origin(service)}"
    return _origin(service)


def _iptables(services: Sequence[Service], node: NodeView) -> Iterator[OriginRule]:
    whole = iptables.compile_iptables(services, node)
    seen: set[tuple[str, str]] = set()
    for service in services:
        one = iptables.compile_service(service, node)
        shared = (
            ("nat KUBE-SERVICES", one.nat_services),
            ("nat KUBE-NODEPORTS", one.nat_node_ports),
            ("filter KUBE-SERVICES", one.filter_services),
            ("filter KUBE-EXTERNAL-SERVICES", one.filter_external),
            ("filter KUBE-PROXY-FIREWALL", one.filter_firewall),
            ("filter KUBE-NODEPORTS", one.filter_node_ports),
        )
        for where, rules in shared:
            for rule in rules:
                seen.add((where, rule))
                yield OriginRule(where, rule, _origin(service))
        for chain, rules in one.chains.items():
            origin = _origin(service)
            if chain.startswith("KUBE-SEP-"):
                origin = _endpoint_of(service, rules[-1])
            for rule in rules:
                yield OriginRule(f"nat {chain}", rule, origin)
    for table, chains in whole.items():
        for chain, rules_of_chain in chains.items():
            if chain.startswith(iptables.OWN_PREFIXES):
                continue
            for rule in rules_of_chain:
                if (f"{table} {chain}", rule) not in seen:
                    yield OriginRule(f"{table} {chain}", rule, _node(node))


def _node(node: NodeView) -> str:
    return f"Node {node.name}, proxy settings"


def _nft(services: Sequence[Service], node: NodeView, mode: str) -> Iterator[OriginRule]:
    layout = flat if mode == "flat" else nftables
    skeleton = layout.skeleton(node)
    for name, chain in skeleton.chains.items():
        for rule in chain.rules:
            yield OriginRule(f"chain {name}", rule, _node(node))
    for name, value in skeleton.sets.items():
        for element in value.elements:
            yield OriginRule(f"set {name}", element, _node(node))
    for service in services:
        one = layout.compile_service(service, node)
        for name, elements in (*one.elements.items(), *one.contested.items()):
            word = skeleton.sets[name].word
            for key, value_text in elements.items():
                text = f"{key} : {value_text}" if value_text else key
                yield OriginRule(f"{word} {name}", text, _endpoint_of(service, value_text or key))
        for name, chain in (*one.chains.items(), *one.common_chains.items()):
            for rule in chain.rules:
                yield OriginRule(f"chain {name}", rule, _origin(service))


def _ipvs(services: Sequence[Service], node: NodeView) -> Iterator[OriginRule]:
    for service in services:
        one = ipvs.compile_service(service, node)
        for virtual, server in sorted(one.servers.items()):
            how = f"{virtual.protocol} {virtual.text} {server.scheduler}"
            yield OriginRule("ipvs", how, _origin(service))
            for real in sorted(server.reals):
                text = f"{virtual.protocol} {virtual.text} -> {real.text} Masq {real.weight}"
                yield OriginRule("ipvs", text, f"Endpoint {real.text} of {_origin(service)}")
        for name, entries in sorted(one.entries.items()):
            shown = set_name(name, node.family)
            for entry in sorted(entries):
                yield OriginRule(f"ipset {shown}", entry, _origin(service))
        for address in sorted(one.addresses):
            yield OriginRule(f"address on {ipvs.DEVICE}", address, _origin(service))
    for table, chains in ipvs.compile_ipvs(services, node).tables.items():
        for chain, rules in chains.items():
            for rule in rules:
                yield OriginRule(f"{table} {chain}", rule, _node(node))


def explain_rules(
    mode: str, services: Mapping[str, Sequence[Service]], node: NodeView, *, service: str = ""
) -> list[OriginRule]:
    """All rules of `node` in `mode`, or those of one Service (`namespace/name`)."""
    chosen = [port for key in sorted(services) if service in ("", key) for port in services[key]]
    if mode == "iptables":
        found = _iptables(chosen, node)
    elif mode == "ipvs":
        found = _ipvs(chosen, node)
    else:
        found = _nft(chosen, node, mode)
    return [rule for rule in found if not service or not rule.origin.startswith("Node ")]
