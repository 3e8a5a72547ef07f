"""Services -> one nftables table whose size in chains does not grow with the Services: mode `flat`.

kube-proxy's layout has a chain for each Service, and the kernel validates the graph of chains in
quadratic time. Here a Service is map elements only:

    services: address . protocol . port -> goto pick-N          (N: how many endpoints it has)
    pick-N:   dnat to (address . protocol . port . random below N) -> endpoint address . port

One chain for each endpoint *count* serves every Service with that many. External addresses go by
way of `masq-pick-N`; NodePorts, whose destination address varies, have maps without the address;
Local policies go by way of `ext-N-M` (N endpoints in all, M here). Only what cannot be a number,
the affinity of a client and a load balancer's source ranges, has chains of its own, as in
`proxy.nftables`. README.md here has the whole path and the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netemu.netstate.nftables import Chain, NftSet, Table
from netemu.proxy import names, nftables
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView
from netemu.proxy.nftables import SET_MARK, ServiceNft

TABLE = "netemu-flat"
HAIRPINS = "hairpin-connections"


def skeleton(node: NodeView) -> Table:
    """The table without any Service."""
    model = nftables.skeleton(node)
    ip, address = ("ip6", "ipv6_addr") if node.family == 6 else ("ip", "ipv4_addr")
    chains, sets = dict(model.chains), dict(model.sets)
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
        nftables.refuse(out, service)
        nftables.guard(out, service, self.node)
        for e in service.endpoints.reachable:
            if e.node in ("", self.node.name):
                out.put(HAIRPINS, f"{e.address} . {e.address}", contested=True)
        if port.affinity_seconds:
            self._with_affinity()
            return out
        if service.internal:
            chain = self._slots(port.cluster_ip, port.internal_local)
            key = f"{port.cluster_ip} . {port.protocol} . {port.port}"
            out.put("service-ips", key, f"goto {chain}")
        if service.endpoints.exists and port.is_external:
            self._external()
        return out

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

    def _external(self) -> None:
        port = self.port
        for address in (*port.external_ips, *port.load_balancer_ips):
            key = f"{address} . {port.protocol} . {port.port}"
            chain = self._external_chain(address)
            self.out.put("service-ips", key, f"goto {chain}", contested=True)
        if port.node_port:
            chain = self._external_chain("")
            self.out.put(
                "service-nodeports", f"{port.protocol} . {port.node_port}", f"goto {chain}"
            )

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
        self.out.common_chains[name] = nftables.external_chain(
            self.service, self.node, cluster, local
        )
        return name

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
            self.out.chains[f"external-{name}"] = nftables.external_chain(
                service, self.node, f"service-{name}", f"local-{name}"
            )
            nftables.dispatch(self.out, service, f"goto external-{name}")


def compile_service(service: Service, node: NodeView) -> ServiceNft:
    """Everything of one ServicePort on `node`."""
    return _Flat(service, node).compile()


def compile_flat(services: Sequence[Service], node: NodeView) -> Table:
    """The table on `node`; `services` sorted by key gives equal text every time."""
    return nftables.assemble(skeleton(node), (compile_service(s, node) for s in services))
