"""Services -> one nftables table, in the layout of kube-proxy 1.36.

    filter-prerouting-pre-dnat, -output-pre-dnat (-110) -> firewall-check: source ranges
    nat-prerouting, nat-output (dstnat) -> services: map service-ips, map service-nodeports
        -> service-x | local-x | external-x: DNAT
    filter-input, -forward, -output (0) -> service-endpoints-check, nodeport-endpoints-check,
        cluster-ips-check: refuse what was not translated
    nat-postrouting (srcnat) -> masquerading: mark 0x4000, hairpin-connections

A Service without affinity has one rule, `dnat ip to numgen random mod n map { … }`; with affinity
it has a chain and a dynamic set for each endpoint, as all had before 1.36.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/nftables/README.md (KEP-3866)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from netemu.netstate.nftables import Chain, NftSet, Table
from netemu.proxy import names, nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView, ServicePort

TABLE = "kube-proxy"
SET_MARK = "meta mark set meta mark | 0x4000"

_BASE_CHAINS = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
)
_NEW_JUMPS = {
    "filter-prerouting-pre-dnat": ("firewall-check",),
    "filter-output-pre-dnat": ("firewall-check",),
    "filter-input": ("nodeport-endpoints-check", "service-endpoints-check"),
    "filter-forward": ("service-endpoints-check", "cluster-ips-check"),
    "filter-output": ("service-endpoints-check", "cluster-ips-check"),
}
_NAT_JUMPS = {
    "nat-prerouting": "services",
    "nat-output": "services",
    "nat-postrouting": "masquerading",
}


@dataclass(slots=True)
class ServiceNft:
    """What one ServicePort adds to the table."""

    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    """Elements that no other Service has, by set or map: its ClusterIP, its NodePort."""
    contested: dict[str, dict[str, str]] = field(default_factory=dict)
    """Elements that several Services may have: endpoints' hairpins, external addresses."""
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)
    common_chains: dict[str, Chain] = field(default_factory=dict)
    """Chains that it needs and many others use as well."""

    def put(self, name: str, key: str, value: str = "", *, contested: bool = False) -> None:
        where = self.contested if contested else self.elements
        where.setdefault(name, {})[key] = value


def base_chains() -> dict[str, Chain]:
    """The chains attached to hooks: the same for every mode that uses nftables."""
    found = {}
    for name, kind, hook, priority in _BASE_CHAINS:
        if name in _NAT_JUMPS:
            rules: tuple[str, ...] = (f"jump {_NAT_JUMPS[name]}",)
        else:
            rules = tuple(f"ct state new jump {target}" for target in _NEW_JUMPS[name])
        found[name] = Chain(kind=kind, hook=hook, priority=priority, rules=rules)
    return found


def node_port_match(node: NodeView) -> str:
    """Which destinations are NodePorts. By default the node's primary address alone."""
    ip, loopback = ("ip6", "::1") if node.family == 6 else ("ip", "127.0.0.0/8")
    if nodeports.addresses(node, "nftables") is None:
        return f"fib daddr type local {ip} daddr != {loopback}"
    return f"{ip} daddr @nodeport-ips"


def refusal_chains(node: NodeView) -> dict[str, Chain]:
    """The chains that refuse: without endpoints, outside source ranges, no such port."""
    ip = "ip6" if node.family == 6 else "ip"
    key = f"{ip} daddr . meta l4proto . th dport"
    unallocated = f"{ip} daddr {{ {', '.join(node.service_cidrs)} }} drop"
    return {
        "firewall-check": Chain(rules=(f"{key} vmap @firewall-ips",)),
        "service-endpoints-check": Chain(rules=(f"{key} vmap @no-endpoint-services",)),
        "nodeport-endpoints-check": Chain(
            rules=(f"{node_port_match(node)} meta l4proto . th dport vmap @no-endpoint-nodeports",)
        ),
        "reject-chain": Chain(
            rules=("reject",), comment="helper for @no-endpoint-services / @no-endpoint-nodeports"
        ),
        "cluster-ips-check": Chain(
            rules=(
                f'{ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of'
                ' ClusterIPs"',
                *(
                    [f'{unallocated} comment "Drop traffic to unallocated ClusterIPs"']
                    if node.service_cidrs
                    else []
                ),
            )
        ),
    }


def masquerading(node: NodeView) -> Chain:
    ip = "ip6" if node.family == 6 else "ip"
    return Chain(
        rules=(
            "meta mark & 0x4000 != 0x0 meta mark set meta mark ^ 0x4000 masquerade fully-random",
            f"ct status dnat {ip} saddr . {ip} daddr . meta l4proto . th dport"
            " @hairpin-connections masquerade fully-random",
        )
    )


def services_chain(node: NodeView) -> Chain:
    ip = "ip6" if node.family == 6 else "ip"
    rules = []
    if node.masquerade_all:
        rules.append(f'{ip} daddr @cluster-ips {SET_MARK} comment "masquerade clusterIP traffic"')
    elif node.local_cidr:
        rules.append(
            f"{ip} daddr @cluster-ips {ip} saddr != {node.local_cidr} {SET_MARK}"
            ' comment "masquerade clusterIP traffic from outside cluster"'
        )
    rules.append(f"{ip} daddr . meta l4proto . th dport vmap @service-ips")
    rules.append(f"{node_port_match(node)} meta l4proto . th dport vmap @service-nodeports")
    return Chain(rules=tuple(rules))


def shared_sets(node: NodeView) -> dict[str, NftSet]:
    """The sets and maps that all ServicePorts share, still empty."""
    address = "ipv6_addr" if node.family == 6 else "ipv4_addr"
    service = f"{address} . inet_proto . inet_service"
    node_port = "inet_proto . inet_service"
    sets = {
        "cluster-ips": NftSet(key=address, comment="Active ClusterIPs"),
        "firewall-ips": NftSet(
            key=service,
            value="verdict",
            comment="destinations that are subject to LoadBalancerSourceRanges",
        ),
        "hairpin-connections": NftSet(
            key=f"{address} . {address} . inet_proto . inet_service",
            comment="service hairpin connections",
        ),
        "no-endpoint-services": NftSet(
            key=service,
            value="verdict",
            comment="vmap to drop or reject packets to services with no endpoints",
        ),
        "no-endpoint-nodeports": NftSet(
            key=node_port,
            value="verdict",
            comment="vmap to drop or reject packets to service nodeports with no endpoints",
        ),
        "service-ips": NftSet(
            key=service,
            value="verdict",
            comment="ClusterIP, ExternalIP and LoadBalancer IP traffic",
        ),
        "service-nodeports": NftSet(key=node_port, value="verdict", comment="NodePort traffic"),
    }
    served = nodeports.addresses(node, "nftables")
    if served is not None:
        sets["nodeport-ips"] = NftSet(
            key=address,
            comment="IPs that accept NodePort traffic",
            elements=dict.fromkeys(nodeports.without_loopback(served), ""),
        )
    return sets


def refuse(out: ServiceNft, service: Service) -> None:
    """Elements that reject, or drop, what this ServicePort cannot serve here."""
    port = service.port
    verdict = "drop" if service.endpoints.exists else "goto reject-chain"
    where = f"{port.protocol} . {port.port}"
    if not service.internal:
        out.put(
            "no-endpoint-services", f"{port.cluster_ip} . {port.protocol} . {port.port}", verdict
        )
    if not service.external:
        for address in (*port.external_ips, *port.load_balancer_ips):
            out.put("no-endpoint-services", f"{address} . {where}", verdict, contested=True)
        if port.node_port:
            out.put("no-endpoint-nodeports", f"{port.protocol} . {port.node_port}", verdict)


def allowed_sources(port: ServicePort, node: NodeView) -> tuple[str, ...]:
    """Who may reach the load balancer's addresses; empty: everyone.

    A node inside the ranges may, also with one of these addresses as its source.
    """
    sources = port.source_ranges
    if node.address and any(ip_address(node.address) in ip_network(c) for c in sources):
        return (*sources, *port.load_balancer_ips)
    return sources


def guard(out: ServiceNft, service: Service, node: NodeView) -> None:
    """The firewall chain of a load balancer with source ranges, also without any endpoint."""
    port, sources = service.port, allowed_sources(service.port, node)
    if not (port.load_balancer_ips and sources):
        return
    ip = "ip6" if node.family == 6 else "ip"
    chain = f"firewall-{names.nft_service(port)}"
    out.chains[chain] = Chain(rules=(f"{ip} saddr != {{ {', '.join(sources)} }} drop",))
    for address in port.load_balancer_ips:
        key = f"{address} . {port.protocol} . {port.port}"
        out.put("firewall-ips", key, f"goto {chain}", contested=True)


def hairpins(out: ServiceNft, service: Service) -> None:
    for e in service.endpoints.reachable:
        key = f"{e.address} . {e.address} . {service.port.protocol} . {e.port}"
        out.put("hairpin-connections", key, contested=True)


def balance(out: ServiceNft, service: Service, chain: str, endpoints: Sequence[Endpoint]) -> None:
    """The chain that picks one of `endpoints`."""
    port = service.port
    family = "ip6" if ":" in port.cluster_ip else "ip"
    if not port.affinity_seconds:
        picks = ", ".join(f"{i} : {e.address} . {e.port}" for i, e in enumerate(endpoints))
        rule = f"meta l4proto {port.protocol} dnat {family} to numgen random mod {len(endpoints)}"
        out.chains[chain] = Chain(rules=(f"{rule} map {{ {picks} }}",))
        return
    rules, picks_list = [], []
    for index, endpoint in enumerate(endpoints):
        name = names.nft_endpoint(port, endpoint)
        rules.append(f"{family} saddr @affinity-{name} goto endpoint-{name}")
        picks_list.append(f"{index} : goto endpoint-{name}")
        out.sets[f"affinity-{name}"] = NftSet(
            key="ipv6_addr" if family == "ip6" else "ipv4_addr", timeout=port.affinity_seconds
        )
        out.chains[f"endpoint-{name}"] = Chain(
            rules=(
                f"update @affinity-{name} {{ {family} saddr }}",
                f"meta l4proto {port.protocol} dnat to {endpoint.text}",
            )
        )
    rules.append(f"numgen random mod {len(endpoints)} vmap {{ {', '.join(picks_list)} }}")
    out.chains[chain] = Chain(rules=tuple(rules))


def external_chain(service: Service, node: NodeView, to_cluster: str, to_local: str) -> Chain:
    """What traffic to external addresses meets before an endpoint is picked.

    `to_cluster` and `to_local` are the chains of all and of this node's endpoints.
    """
    port, ip = service.port, "ip6" if node.family == 6 else "ip"
    if not port.external_local:
        return Chain(rules=(f"{SET_MARK} goto {to_cluster}",))
    rules = []
    if service.endpoints.cluster:
        if node.local_cidr:
            rules.append(
                f"{ip} saddr {node.local_cidr} goto {to_cluster}"
                ' comment "short-circuit pod traffic"'
            )
        rules.append(
            f"fib saddr type local {SET_MARK} goto {to_cluster}"
            ' comment "short-circuit local traffic"'
        )
    if service.endpoints.local:
        rules.append(f"goto {to_local}")
    return Chain(rules=tuple(rules))


def compile_service(service: Service, node: NodeView) -> ServiceNft:
    """Everything of one ServicePort on `node`."""
    out, port, name = ServiceNft(), service.port, names.nft_service(service.port)
    out.put("cluster-ips", port.cluster_ip)
    refuse(out, service)
    guard(out, service, node)
    hairpins(out, service)
    if service.endpoints.cluster and port.uses_cluster_endpoints:
        balance(out, service, f"service-{name}", service.endpoints.cluster)
    if service.endpoints.local and port.uses_local_endpoints:
        balance(out, service, f"local-{name}", service.endpoints.local)
    if service.internal:
        chain = f"local-{name}" if port.internal_local else f"service-{name}"
        out.put(
            "service-ips", f"{port.cluster_ip} . {port.protocol} . {port.port}", f"goto {chain}"
        )
    if service.endpoints.exists and port.is_external:
        out.chains[f"external-{name}"] = external_chain(
            service, node, f"service-{name}", f"local-{name}"
        )
        dispatch(out, service, f"goto external-{name}")
    return out


def dispatch(out: ServiceNft, service: Service, verdict: str) -> None:
    """Lead all external addresses of a ServicePort to `verdict`."""
    port = service.port
    for address in (*port.external_ips, *port.load_balancer_ips):
        key = f"{address} . {port.protocol} . {port.port}"
        out.put("service-ips", key, verdict, contested=True)
    if port.node_port:
        out.put("service-nodeports", f"{port.protocol} . {port.node_port}", verdict)


def skeleton(node: NodeView) -> Table:
    """The table without any Service: its fixed chains, and its sets, empty."""
    chains = base_chains() | refusal_chains(node)
    chains["masquerading"] = masquerading(node)
    chains["services"] = services_chain(node)
    return Table(
        family="ip6" if node.family == 6 else "ip",
        name=TABLE,
        chains=chains,
        sets=shared_sets(node),
        comment="rules for kube-proxy",
    )


def assemble(empty: Table, compiled: Iterable[ServiceNft]) -> Table:
    """`empty` with all that `compiled` adds."""
    chains, sets = dict(empty.chains), dict(empty.sets)
    elements: dict[str, dict[str, str]] = {n: dict(s.elements) for n, s in sets.items()}
    for one in compiled:
        chains.update(one.common_chains)
        chains.update(one.chains)
        sets.update(one.sets)
        for name, added in (*one.elements.items(), *one.contested.items()):
            elements[name].update(added)
    filled = {
        name: NftSet(
            key=value.key,
            value=value.value,
            timeout=value.timeout,
            comment=value.comment,
            elements=elements.get(name, value.elements),
        )
        for name, value in sets.items()
    }
    return Table(
        family=empty.family, name=empty.name, chains=chains, sets=filled, comment=empty.comment
    )


def compile_nftables(services: Sequence[Service], node: NodeView) -> Table:
    """The proxy's table on `node`; `services` sorted by key gives equal text every time."""
    return assemble(skeleton(node), (compile_service(service, node) for service in services))
