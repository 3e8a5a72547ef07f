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

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from netemu.netstate.ipset import Command, SetValue
from netemu.netstate.iptables import Jump, Tables
from netemu.netstate.ipvs import Real, Server, Servers, Virtual
from netemu.proxy import nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView

DEVICE = "kube-ipvs0"

_SETS = {
    "KUBE-LOOP-BACK": (
        "hash:ip,port,ip",
        "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
    ),
    "KUBE-CLUSTER-IP": (
        "hash:ip,port",
        "Kubernetes service cluster ip + port for masquerade purpose",
    ),
    "KUBE-EXTERNAL-IP": (
        "hash:ip,port",
        "Kubernetes service external ip + port for masquerade and filter purpose",
    ),
    "KUBE-EXTERNAL-IP-LOCAL": (
        "hash:ip,port",
        "Kubernetes service external ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER": ("hash:ip,port", "Kubernetes service lb portal"),
    "KUBE-LOAD-BALANCER-LOCAL": (
        "hash:ip,port",
        "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER-FW": (
        "hash:ip,port",
        "Kubernetes service load balancer ip + port for load balancer with sourceRange",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-IP": (
        "hash:ip,port,ip",
        "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": (
        "hash:ip,port,net",
        "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
    ),
    "KUBE-NODE-PORT-TCP": ("bitmap:port", "Kubernetes nodeport TCP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-TCP": (
        "bitmap:port",
        "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
    ),
    "KUBE-NODE-PORT-UDP": ("bitmap:port", "Kubernetes nodeport UDP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-UDP": (
        "bitmap:port",
        "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
    ),
    "KUBE-NODE-PORT-SCTP-HASH": (
        "hash:ip,port",
        "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
    ),
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": (
        "hash:ip,port",
        "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
    ),
    "KUBE-HEALTH-CHECK-NODE-PORT": ("bitmap:port", "Kubernetes health check node port"),
    "KUBE-IPVS-IPS": ("hash:ip", "Kubernetes IPVS IPs"),
}

SET_NAMES = frozenset(_SETS)

JUMPS = (
    Jump("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    Jump("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    Jump("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"),
    Jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"),
)
CHAINS = frozenset(
    {
        *(jump.target for jump in JUMPS),
        "KUBE-MARK-MASQ",
        "KUBE-LOAD-BALANCER",
        "KUBE-SOURCE-RANGES-FIREWALL",
    }
)


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


_LONGEST_NAME = 31


def set_name(name: str, family: int) -> str:
    """The set's name in the kernel, which takes 31 characters: kube-proxy cuts as well."""
    return name.replace("KUBE-", "KUBE-6-", 1)[:_LONGEST_NAME] if family == 6 else name


def entry_command(wanted: bool, name: str, entry: str, family: int) -> Command:
    """Bring an entry into the set `name`, or take it out."""
    verb = "add" if wanted else "del"
    return Command(verb, set_name(name, family), _SETS[name][0], family, entry)


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
        self._serve(port.cluster_ip, port.port, self._endpoints(port.internal_local))
        self._external_ips()
        self._load_balancer_ips()
        if port.node_port:
            self._node_port()
        if port.health_check_node_port:
            self.out.put("KUBE-HEALTH-CHECK-NODE-PORT", str(port.health_check_node_port))
        return self.out

    def _entry(self, address: str, port: int = 0) -> str:
        return f"{address},{self.port.protocol}:{port or self.port.port}"

    def _endpoints(self, local: bool) -> Sequence[Endpoint]:
        """Local policy without a local endpoint falls back to all of them (k/k #97081)."""
        decision = self.service.endpoints
        return (decision.local or decision.cluster) if local else decision.cluster

    def _serve(
        self, address: str, port: int, endpoints: Iterable[Endpoint], *, bind: bool = True
    ) -> None:
        virtual = Virtual(address, self.port.protocol, port)
        self.out.servers[virtual] = Server(
            scheduler=self.node.ipvs_scheduler,
            persistent=self.port.affinity_seconds,
            reals=frozenset(Real(e.address, e.port) for e in endpoints),
        )
        if bind:
            self.out.addresses.add(address)
            self.out.put("KUBE-IPVS-IPS", address)

    def _external_ips(self) -> None:
        local = self.port.external_local
        for address in self.port.external_ips:
            name = "KUBE-EXTERNAL-IP-LOCAL" if local else "KUBE-EXTERNAL-IP"
            self.out.put(name, self._entry(address))
            self._serve(address, self.port.port, self._endpoints(local))

    def _load_balancer_ips(self) -> None:
        port = self.port
        for address in port.load_balancer_ips:
            entry = self._entry(address)
            self.out.put("KUBE-LOAD-BALANCER", entry)
            if port.external_local:
                self.out.put("KUBE-LOAD-BALANCER-LOCAL", entry)
            if port.source_ranges:
                self._guard(address, entry)
            self._serve(address, port.port, self._endpoints(port.external_local))

    def _guard(self, address: str, entry: str) -> None:
        self.out.put("KUBE-LOAD-BALANCER-FW", entry)
        node_allowed = False
        for cidr in self.port.source_ranges:
            self.out.put("KUBE-LOAD-BALANCER-SOURCE-CIDR", f"{entry},{cidr}")
            if self.node.address and ip_address(self.node.address) in ip_network(cidr):
                node_allowed = True
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
            endpoints = self._endpoints(port.external_local)
            self._serve(address, port.node_port, endpoints, bind=False)


def _node_port_addresses(node: NodeView) -> tuple[str, ...]:
    found = nodeports.addresses(node, "ipvs")
    if found is None:
        found = tuple(sorted({*node.addresses, node.address} - {""}))
    return nodeports.without_loopback(found)


def compile_service(service: Service, node: NodeView) -> ServiceIpvs:
    """Everything of one ServicePort on `node`."""
    return _Ipvs(service, node).compile()


class _Rules:
    """The iptables side: a fixed set of rules, each present while its ipset has entries."""

    def __init__(self, filled: Collection[str], node: NodeView) -> None:
        self._filled, self._node = filled, node

    def _match(self, name: str, places: str) -> str:
        comment = _SETS[name][1]
        shown = set_name(name, self._node.family)
        return f'-m comment --comment "{comment}" -m set --match-set {shown} {places}'

    def if_filled(self, name: str, places: str, target: str, proto: str = "") -> list[str]:
        if name not in self._filled:
            return []
        start = f"-p {proto} " if proto else ""
        return [f"{start}{self._match(name, places)} -j {target}"]

    def services(self) -> list[str]:
        rules = [] if self._node.family == 6 else ["-s 127.0.0.0/8 -j RETURN"]
        rules += self.if_filled("KUBE-LOAD-BALANCER", "dst,dst", "KUBE-LOAD-BALANCER")
        rules += self._cluster_ip()
        rules += self.if_filled("KUBE-EXTERNAL-IP", "dst,dst", "KUBE-MARK-MASQ")
        for name in ("KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
            if name in self._filled:
                match = self._match(name, "dst,dst")
                off_machine = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
                rules.append(f"{match} {off_machine} -j ACCEPT")
                rules.append(f"{match} -m addrtype --dst-type LOCAL -j ACCEPT")
        rules.append("-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT")
        for name in ("KUBE-CLUSTER-IP", "KUBE-LOAD-BALANCER"):
            if name in self._filled:
                shown = set_name(name, self._node.family)
                rules.append(f"-m set --match-set {shown} dst,dst -j ACCEPT")
        return rules

    def _cluster_ip(self) -> list[str]:
        if "KUBE-CLUSTER-IP" not in self._filled:
            return []
        places = "dst,dst" if self._node.masquerade_all or self._node.local_cidr else "src,dst"
        match = self._match("KUBE-CLUSTER-IP", places)
        if not self._node.masquerade_all and self._node.local_cidr:
            match += f" ! -s {self._node.local_cidr}"
        return [f"{match} -j KUBE-MARK-MASQ"]

    def node_port(self) -> list[str]:
        rules: list[str] = []
        for proto, suffix, places in (
            ("tcp", "TCP", "dst"),
            ("udp", "UDP", "dst"),
            ("sctp", "SCTP-HASH", "dst,dst"),
        ):
            local, anywhere = f"KUBE-NODE-PORT-LOCAL-{suffix}", f"KUBE-NODE-PORT-{suffix}"
            rules += self.if_filled(local, places, "RETURN", proto)
            rules += self.if_filled(anywhere, places, "KUBE-MARK-MASQ", proto)
        return rules

    def postrouting(self) -> list[str]:
        return [
            *self.if_filled("KUBE-LOOP-BACK", "dst,dst,src", "MASQUERADE"),
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-j MARK --xor-mark 0x4000",
            '-m comment --comment "kubernetes service traffic requiring SNAT"'
            " -j MASQUERADE --random-fully",
        ]

    def source_ranges(self) -> list[str]:
        return [
            *self.if_filled("KUBE-LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src", "RETURN"),
            *self.if_filled("KUBE-LOAD-BALANCER-SOURCE-IP", "dst,dst,src", "RETURN"),
            "-j DROP",
        ]

    def access(self) -> list[str]:
        """Only known ports of an address on kube-ipvs0 may be reached (k/k #72236)."""
        family = self._node.family
        passing = [
            f"-m set --match-set {set_name(name, family)} dst,dst -j RETURN"
            for name in (
                "KUBE-LOAD-BALANCER",
                "KUBE-CLUSTER-IP",
                "KUBE-EXTERNAL-IP",
                "KUBE-EXTERNAL-IP-LOCAL",
            )
        ]
        health = set_name("KUBE-HEALTH-CHECK-NODE-PORT", family)
        addresses = set_name("KUBE-IPVS-IPS", family)
        return [
            *passing,
            f"-m set --match-set {health} dst -j RETURN",
            f"-m conntrack --ctstate NEW -m set --match-set {addresses} dst -j REJECT",
        ]

    def filter_node_port(self) -> list[str]:
        return [f"{self._match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j ACCEPT"]

    def firewall(self) -> list[str]:
        return self.if_filled("KUBE-LOAD-BALANCER-FW", "dst,dst", "KUBE-SOURCE-RANGES-FIREWALL")


def _forward() -> list[str]:
    note = '-m comment --comment "kubernetes forwarding'
    return [
        f'{note} rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        f'{note} conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ]


def _out_filter(no_node_access: Iterable[tuple[str, str, int]]) -> list[str]:
    """The node itself, left out by a load balancer's source ranges (k/k #119656)."""
    return [
        f"-s {address} -m ipvs --vaddr {address} --vproto {proto} --vport {port} -j DROP"
        for address, proto, port in sorted(set(no_node_access))
    ]


def rules_of(
    filled: Iterable[str], no_node_access: Iterable[tuple[str, str, int]], node: NodeView
) -> Tables:
    """The iptables rules that go with the sets that have entries (`filled`, by name)."""
    rules = _Rules(frozenset(filled), node)
    return {
        "nat": {
            "KUBE-SERVICES": rules.services(),
            "KUBE-POSTROUTING": rules.postrouting(),
            "KUBE-NODE-PORT": rules.node_port(),
            "KUBE-LOAD-BALANCER": [
                *rules.if_filled("KUBE-LOAD-BALANCER-LOCAL", "dst,dst", "RETURN"),
                "-j KUBE-MARK-MASQ",
            ],
            "KUBE-MARK-MASQ": ["-j MARK --or-mark 0x4000"],
        },
        "filter": {
            "KUBE-FORWARD": _forward(),
            "KUBE-NODE-PORT": rules.filter_node_port(),
            "KUBE-PROXY-FIREWALL": rules.firewall(),
            "KUBE-SOURCE-RANGES-FIREWALL": rules.source_ranges(),
            "KUBE-IPVS-FILTER": rules.access(),
            "KUBE-IPVS-OUT-FILTER": _out_filter(no_node_access),
        },
    }


def merge(compiled: Sequence[ServiceIpvs], node: NodeView) -> IpvsConfig:
    """All ServicePorts as one configuration."""
    servers: dict[Virtual, Server] = {}
    entries: dict[str, set[str]] = {name: set() for name in _SETS}
    addresses: set[str] = set()
    for one in compiled:
        servers.update(one.servers)
        addresses |= one.addresses
        for name, found in one.entries.items():
            entries[name] |= found
    sets = {
        set_name(name, node.family): SetValue(
            name=set_name(name, node.family),
            kind=kind,
            family=node.family,
            entries=frozenset(entries[name]),
            comment=comment,
        )
        for name, (kind, comment) in _SETS.items()
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
