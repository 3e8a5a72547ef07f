"""Services -> one nftables table whose size in chains does not grow with the Services: mode `flat`.

kube-proxy's layout has a chain for each Service, and the kernel validates the graph of chains in
quadratic time. Here a Service is map elements only:

    services: address . protocol . port -> goto pick-N          (N: how many endpoints it has)
    pick-N:   dnat to (address . protocol . port . random below N) -> endpoint address . port

One chain for each endpoint *count* serves every Service with that many. External addresses go by
way of `masq-pick-N`; NodePorts, whose destination address varies, have maps without the address;
Local policies go by way of `ext-N-M` (N endpoints in all, M here). Only what cannot be a number,
the affinity of a client and a load balancer's source ranges, has chains of its own.

Every packet pays for every filter hook that it passes, and only a connection's first one for those
of type nat. So all is decided in the latter: source ranges are checked on the way to the endpoints,
and what finds none is refused where an endpoint would be picked. README.md has the whole path and
the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netemu.netstate.nftables import Chain, NftSet, Table
from netemu.proxy import names, nftables
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView
from netemu.proxy.nftables import SET_MARK, ServiceNft

TABLE = "netemu-flat"
HAIRPINS = "hairpin-connections"
_FILTERS = (
    "filter-prerouting-pre-dnat",
    "filter-output-pre-dnat",
    "filter-input",
    "filter-forward",
    "filter-output",
    "firewall-check",
    "service-endpoints-check",
    "nodeport-endpoints-check",
    "cluster-ips-check",
)
_FILTER_MAPS = ("firewall-ips", "no-endpoint-services", "no-endpoint-nodeports")
"""What kube-proxy's layout checks before and after it translates; here `services` leads there."""


def skeleton(node: NodeView) -> Table:
    """The table without any Service."""
    model = nftables.skeleton(node)
    ip, address = ("ip6", "ipv6_addr") if node.family == 6 else ("ip", "ipv4_addr")
    chains = {n: chain for n, chain in model.chains.items() if n not in _FILTERS}
    sets = {n: value for n, value in model.sets.items() if n not in _FILTER_MAPS}
    leading, refusing = model.chains["services"].rules, model.chains["cluster-ips-check"].rules
    chains["services"] = Chain(rules=(*leading, *refusing))
    chains["reject-chain"] = Chain(rules=("reject",), comment="for Services without endpoints")
    mark, _ = model.chains["masquerading"].rules
    hairpin = f"ct status dnat {ip} saddr . {ip} daddr @{HAIRPINS} masquerade fully-random"
    chains["masquerading"] = Chain(rules=(mark, hairpin))
    sets[HAIRPINS] = NftSet(
        key=f"{address} . {address}", comment="endpoints of this node that may call themselves"
    )
    endpoint = f"{address} . inet_service"
    for name, key, comment in (
        ("endpoints", f"{address} . inet_proto . inet_service . mark", "the n-th endpoint"),
        ("local-endpoints", f"{address} . inet_proto . inet_service . mark", "those of this node"),
        ("nodeport-endpoints", "inet_proto . inet_service . mark", "the n-th of a NodePort"),
        ("local-nodeport-endpoints", "inet_proto . inet_service . mark", "those of this node"),
    ):
        sets[name] = NftSet(key=key, value=endpoint, comment=comment)
    return replace(model, name=TABLE, chains=chains, sets=sets, comment="netemu proxy, mode flat")


def pick_chain(ip: str, count: int, name: str, *, node_port: bool = False) -> Chain:
    """The one rule for every Service with `count` endpoints in the map `name`."""
    where = "" if node_port else f"{ip} daddr . "
    key = f"{where}meta l4proto . th dport . numgen random mod {count}"
    return Chain(rules=(f"meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {key} map @{name}",))


class _Flat:
    """Adds one ServicePort to `out`; an entry is ClusterIP-like or NodePort-like."""

    def __init__(self, service: Service, node: NodeView) -> None:
        self.service, self.port, self.node = service, service.port, node
        self.ip = "ip6" if node.family == 6 else "ip"
        self.out = ServiceNft()

    def compile(self) -> ServiceNft:
        service, port, out = self.service, self.port, self.out
        out.put("cluster-ips", port.cluster_ip)
        for e in service.endpoints.reachable:
            if e.node in ("", self.node.name):
                out.put(HAIRPINS, f"{e.address} . {e.address}", contested=True)
        self._refuse()
        if port.affinity_seconds:
            self._with_affinity()
            return out
        if service.internal:
            chain = self._slots(port.cluster_ip, port.internal_local)
            key = f"{port.cluster_ip} . {port.protocol} . {port.port}"
            out.put("service-ips", key, f"goto {chain}")
        if service.endpoints.exists and port.is_external:
            self._lead(self._external_chain)
        return out

    def _refuse(self) -> None:
        """What has no endpoint anywhere is rejected; a ClusterIP that has none here, dropped."""
        port, exists = self.port, self.service.endpoints.exists
        if not self.service.internal:
            key = f"{port.cluster_ip} . {port.protocol} . {port.port}"
            self.out.put("service-ips", key, "drop" if exists else "goto reject-chain")
        if not exists:
            self._lead(lambda _: "reject-chain")

    def _slots(self, address: str, local: bool, *, contested: bool = False) -> str:
        """Map elements for every endpoint behind `address` (empty: the NodePort); its chain."""
        endpoints = self.service.endpoints.local if local else self.service.endpoints.cluster
        prefix = "local-" if local else ""
        port, node_port = self.port, not address
        if node_port:
            name, head = f"{prefix}nodeport-endpoints", f"{port.protocol} . {port.node_port}"
            chain = f"{prefix}nodeport-pick-{len(endpoints)}"
        else:
            name, head = f"{prefix}endpoints", f"{address} . {port.protocol} . {port.port}"
            chain = f"{prefix}pick-{len(endpoints)}"
        self._fill(name, head, endpoints, contested)
        self.out.common_chains[chain] = pick_chain(
            self.ip, len(endpoints), name, node_port=node_port
        )
        return chain

    def _fill(self, name: str, head: str, endpoints: Sequence[Endpoint], contested: bool) -> None:
        for index, e in enumerate(endpoints):
            key, value = f"{head} . {index}", f"{e.address} . {e.port}"
            self.out.put(name, key, value, contested=contested)

    def _lead(self, chain_of: Callable[[str], str]) -> None:
        """Every external address, and the NodePort (its address is empty), to its chain."""
        for address in self.port.external_ips:
            self._lead_address(address, chain_of(address))
        for address in self.port.load_balancer_ips:
            self._lead_address(address, self._guarded(chain_of(address)))
        if self.port.node_port:
            self._lead_node_port(chain_of(""))

    def _lead_address(self, address: str, chain: str) -> None:
        key = f"{address} . {self.port.protocol} . {self.port.port}"
        self.out.put("service-ips", key, f"goto {chain}", contested=True)

    def _lead_node_port(self, chain: str) -> None:
        key = f"{self.port.protocol} . {self.port.node_port}"
        self.out.put("service-nodeports", key, f"goto {chain}")

    def _guarded(self, chain: str) -> str:
        """`chain`, by way of the load balancer's source ranges if it has any."""
        sources = nftables.allowed_sources(self.port, self.node)
        if not sources:
            return chain
        name = f"firewall-{names.nft_service(self.port)}"
        drop = f"{self.ip} saddr != {{ {', '.join(sources)} }} drop"
        self.out.chains[name] = Chain(rules=(drop, f"goto {chain}"))
        return name

    def _external_chain(self, address: str) -> str:
        decision, kind = self.service.endpoints, "" if address else "nodeport-"
        if not self.port.external_local:
            chain = self._slots(address, False, contested=bool(address))
            name = f"masq-{chain}"
            self.out.common_chains[name] = Chain(rules=(f"{SET_MARK} goto {chain}",))
            return name
        cluster = self._slots(address, False, contested=bool(address)) if decision.cluster else ""
        local = self._slots(address, True, contested=bool(address)) if decision.local else ""
        name = f"{kind}ext-{len(decision.cluster)}-{len(decision.local)}"
        self.out.common_chains[name] = self._local_first(cluster, local)
        return name

    def _local_first(self, to_cluster: str, to_local: str) -> Chain:
        """The way in from external addresses; without an endpoint here it ends in a drop."""
        chain = nftables.external_chain(self.service, self.node, to_cluster, to_local)
        return chain if self.service.external else replace(chain, rules=(*chain.rules, "drop"))

    def _with_affinity(self) -> None:
        """Chains and dynamic sets of its own, as kube-proxy's nftables mode has them."""
        service, port, name = self.service, self.port, names.nft_service(self.port)
        if service.endpoints.cluster and port.uses_cluster_endpoints:
            nftables.balance(self.out, service, f"service-{name}", service.endpoints.cluster)
        if service.endpoints.local and port.uses_local_endpoints:
            nftables.balance(self.out, service, f"local-{name}", service.endpoints.local)
        if service.internal:
            chain = f"local-{name}" if port.internal_local else f"service-{name}"
            key = f"{port.cluster_ip} . {port.protocol} . {port.port}"
            self.out.put("service-ips", key, f"goto {chain}")
        if service.endpoints.exists and port.is_external:
            self.out.chains[f"external-{name}"] = self._local_first(
                f"service-{name}", f"local-{name}"
            )
            self._lead(lambda _: f"external-{name}")


def compile_service(service: Service, node: NodeView) -> ServiceNft:
    """Everything of one ServicePort on `node`."""
    return _Flat(service, node).compile()


def compile_flat(services: Sequence[Service], node: NodeView) -> Table:
    """The table on `node`; `services` sorted by key gives equal text every time."""
    return nftables.assemble(skeleton(node), (compile_service(s, node) for s in services))
