"""Services -> IPVS virtual servers, ipsets and iptables rules, in the layout of kube-proxy 1.33.

    PREROUTING, OUTPUT (nat) -> KUBE-SERVICES: only marks what must be masqueraded, by ipsets
    INPUT (filter) -> KUBE-PROXY-FIREWALL (source ranges), KUBE-IPVS-FILTER (no other port of a VIP)
    IPVS, behind input: virtual server -> real server (DNAT)
    POSTROUTING (nat) -> KUBE-POSTROUTING: hairpins, mark 0x4000

Every service address is bound to the dummy device kube-ipvs0, or its packets would never reach the
input hook. The rules don't grow with the Services; the sets and virtual servers do.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/README.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from netemu.netstate.ipset import SetValue
from netemu.netstate.iptables import Jump, Tables
from netemu.netstate.ipvs import Real, Server, Servers, Virtual
from netemu.proxy import nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.ipvsrules import JUMPS, rules_of
from netemu.proxy.ipvssets import SETS, set_name
from netemu.proxy.model import Endpoint, NodeView

DEVICE = "kube-ipvs0"


@dataclass(slots=True)
class ServiceIpvs:
    """What one ServicePort adds."""

    servers: dict[Virtual, Server] = field(default_factory=dict)
    entries: dict[str, set[str]] = field(default_factory=dict)
    """Entries by set, without the family's prefix."""
    addresses: set[str] = field(default_factory=set)
    """To be bound to kube-ipvs0."""
    no_node_access: list[tuple[str, str, int]] = field(default_factory=list)
    """(address, protocol, port) of load balancers whose source ranges leave the node out."""

    def put(self, name: str, entry: str) -> None:
        self.entries.setdefault(name, set()).add(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsConfig:
    """All that IPVS mode wants on a node, in one family."""

    servers: Servers
    sets: Mapping[str, SetValue]
    addresses: tuple[str, ...]
    tables: Tables
    jumps: tuple[Jump, ...] = JUMPS


def serving(service: Service, local: bool) -> Sequence[Endpoint]:
    """Who serves under a policy: Local without a local endpoint falls back to all (k/k #97081)."""
    decision = service.endpoints
    return (decision.local or decision.cluster) if local else decision.cluster


def empty_sets(family: int) -> list[SetValue]:
    """All sets of one IP family, without entries."""
    return [
        SetValue(name=set_name(name, family), kind=kind, family=family, comment=comment)
        for name, (kind, comment) in SETS.items()
    ]


class _Ipvs:
    def __init__(self, service: Service, node: NodeView) -> None:
        self.service, self.port, self.node = service, service.port, node
        self.out = ServiceIpvs()

    def compile(self) -> ServiceIpvs:
        port = self.port
        for e in self.service.endpoints.reachable:
            if e.node in ("", self.node.name):
                head = f"{e.address},{port.protocol}:{e.port}"
                self.out.put("KUBE-LOOP-BACK", f"{head},{e.address}")
        self.out.put("KUBE-CLUSTER-IP", self._entry(port.cluster_ip))
        self._serve(port.cluster_ip, port.port, local=port.internal_local)
        self._external_ips()
        self._load_balancer_ips()
        if port.node_port:
            self._node_port()
        if port.health_check_node_port:
            self.out.put("KUBE-HEALTH-CHECK-NODE-PORT", str(port.health_check_node_port))
        return self.out

    def _entry(self, address: str, port: int = 0) -> str:
        return f"{address},{self.port.protocol}:{port or self.port.port}"

    def _serve(self, address: str, port: int, *, local: bool, bind: bool = True) -> None:
        virtual = Virtual(address, self.port.protocol, port)
        self.out.servers[virtual] = Server(
            scheduler=self.node.ipvs_scheduler,
            persistent=self.port.affinity_seconds,
            reals=frozenset(Real(e.address, e.port) for e in serving(self.service, local)),
        )
        if bind:
            self.out.addresses.add(address)
            self.out.put("KUBE-IPVS-IPS", address)

    def _external_ips(self) -> None:
        local = self.port.external_local
        for address in self.port.external_ips:
            name = "KUBE-EXTERNAL-IP-LOCAL" if local else "KUBE-EXTERNAL-IP"
            self.out.put(name, self._entry(address))
            self._serve(address, self.port.port, local=local)

    def _load_balancer_ips(self) -> None:
        port = self.port
        for address in port.load_balancer_ips:
            entry = self._entry(address)
            self.out.put("KUBE-LOAD-BALANCER", entry)
            if port.external_local:
                self.out.put("KUBE-LOAD-BALANCER-LOCAL", entry)
            if port.source_ranges:
                self._guard(address, entry)
            self._serve(address, port.port, local=port.external_local)

    def _guard(self, address: str, entry: str) -> None:
        self.out.put("KUBE-LOAD-BALANCER-FW", entry)
        node_allowed = False
        for cidr in self.port.source_ranges:
            network = ip_network(cidr)
            # A set of type hash:ip,port,net takes no prefix of length 0.
            for part in network.subnets() if network.prefixlen == 0 else [network]:
                self.out.put("KUBE-LOAD-BALANCER-SOURCE-CIDR", f"{entry},{part}")
            node_allowed |= bool(self.node.address) and ip_address(self.node.address) in network
        if node_allowed:
            self.out.put("KUBE-LOAD-BALANCER-SOURCE-IP", f"{entry},{address}")
        else:
            self.out.no_node_access.append((address, self.port.protocol, self.port.port))

    def _node_port(self) -> None:
        port, addresses = self.port, _node_port_addresses(self.node)
        infixes = ["", "LOCAL-"] if port.external_local else [""]
        for infix in infixes:
            if port.protocol == "sctp":
                for address in addresses:
                    name = f"KUBE-NODE-PORT-{infix}SCTP-HASH"
                    self.out.put(name, self._entry(address, port.node_port))
            else:
                name = f"KUBE-NODE-PORT-{infix}{port.protocol.upper()}"
                self.out.put(name, str(port.node_port))
        for address in addresses:
            self._serve(address, port.node_port, local=port.external_local, bind=False)


def _node_port_addresses(node: NodeView) -> tuple[str, ...]:
    found = nodeports.addresses(node, "ipvs")
    if found is None:
        found = tuple(sorted({*node.addresses, node.address} - {""}))
    return nodeports.without_loopback(found)


def compile_service(service: Service, node: NodeView) -> ServiceIpvs:
    """Everything of one ServicePort on `node`."""
    return _Ipvs(service, node).compile()


def merge(compiled: Sequence[ServiceIpvs], node: NodeView) -> IpvsConfig:
    """All ServicePorts as one configuration."""
    servers: dict[Virtual, Server] = {}
    entries: dict[str, set[str]] = {name: set() for name in SETS}
    addresses: set[str] = set()
    for one in compiled:
        servers.update(one.servers)
        addresses |= one.addresses
        for name, found in one.entries.items():
            entries[name] |= found
    sets = {
        empty.name: replace(empty, entries=frozenset(entries[name]))
        for name, empty in zip(SETS, empty_sets(node.family), strict=True)
    }
    # An address that the node has anyway is not bound again.
    own = {*node.addresses, node.address}
    return IpvsConfig(
        servers=servers,
        sets=sets,
        addresses=tuple(sorted(addresses - own)),
        tables=rules_of(
            (name for name, found in entries.items() if found),
            (where for one in compiled for where in one.no_node_access),
            node,
        ),
    )


def compile_ipvs(services: Sequence[Service], node: NodeView) -> IpvsConfig:
    """What the proxy wants on `node`; `services` sorted by key gives equal text every time."""
    return merge([compile_service(service, node) for service in services], node)
