"""Services -> iptables rules, in the layout of kube-proxy 1.34 and 1.35.

    PREROUTING, OUTPUT (nat) -> KUBE-SERVICES -> KUBE-SVC-x   ClusterIP, Cluster policy
                                              -> KUBE-SVL-x   ClusterIP, Local policy
                                              -> KUBE-FW-x    LoadBalancer IP with source ranges
                                              -> KUBE-EXT-x   external addresses -> SVC or SVL
                                              -> KUBE-NODEPORTS -> KUBE-EXT-x
    KUBE-SVC-x, KUBE-SVL-x -> KUBE-SEP-y (one endpoint): DNAT
    INPUT, FORWARD, OUTPUT (filter): REJECT and DROP of what was not DNATed
    POSTROUTING (nat) -> KUBE-POSTROUTING: MASQUERADE of what carries mark 0x4000

A service's own chains are apart from its lines in the shared chains, so that a partial sync
rewrites the shared chains and only the changed services' own ones (KEP-3453).
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/iptables/proxier.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from netemu.netstate.iptables import Jump, Tables
from netemu.proxy import names, nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView

LARGE_CLUSTER_ENDPOINTS = 1000
"""Above this, kube-proxy leaves the comments out of endpoint rules."""

_NEW = "-m conntrack --ctstate NEW"
JUMPS = (
    Jump("filter", "INPUT", "KUBE-FIREWALL"),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", _NEW),
    Jump("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
    Jump(
        "filter",
        "INPUT",
        "KUBE-EXTERNAL-SERVICES",
        "kubernetes externally-visible service portals",
        _NEW,
    ),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", _NEW),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    Jump("filter", "FORWARD", "KUBE-SERVICES", "kubernetes service portals", _NEW),
    Jump(
        "filter",
        "FORWARD",
        "KUBE-EXTERNAL-SERVICES",
        "kubernetes externally-visible service portals",
        _NEW,
    ),
    Jump("filter", "OUTPUT", "KUBE-FIREWALL"),
    Jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", _NEW),
    Jump("filter", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals", _NEW),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
)
CANARY = "KUBE-PROXY-CANARY"
CANARY_TABLES = ("mangle", "nat", "filter")
OWN_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-")
"""Chains of single services: those that nobody wants any more are deleted."""

_MASQ = "-j KUBE-MARK-MASQ"


@dataclass(slots=True)
class ServiceRules:
    """What one ServicePort adds: lines of shared chains, and its own chains in nat."""

    nat_services: list[str] = field(default_factory=list)
    nat_node_ports: list[str] = field(default_factory=list)
    filter_services: list[str] = field(default_factory=list)
    filter_external: list[str] = field(default_factory=list)
    filter_firewall: list[str] = field(default_factory=list)
    filter_node_ports: list[str] = field(default_factory=list)
    chains: dict[str, list[str]] = field(default_factory=dict)


def compile_service(service: Service, node: NodeView, *, comments: bool = True) -> ServiceRules:
    """The rules of one ServicePort on `node`; `comments=False` as in a large cluster."""
    return _Compiler(service, node, comments).compile()


class _Compiler:
    """Holds the few names that all rules of one ServicePort share."""

    def __init__(self, service: Service, node: NodeView, comments: bool) -> None:
        port = service.port
        self.service, self.port, self.node, self.comments = service, port, node, comments
        self.decision = service.endpoints
        suffix = names.iptables_service(port)
        self.svc, self.svl = f"KUBE-SVC-{suffix}", f"KUBE-SVL-{suffix}"
        self.ext, self.fw = f"KUBE-EXT-{suffix}", f"KUBE-FW-{suffix}"
        self.proto = f"-m {port.protocol} -p {port.protocol}"
        self.out = ServiceRules()

    def compile(self) -> ServiceRules:
        self._cluster_ip()
        self._external_ips()
        self._load_balancer_ips()
        self._node_port()
        self._own_chains()
        return self.out

    def _to(self, address: str) -> str:
        return f"{self.proto} -d {address} --dport {self.port.port}"

    def _comment(self, text: str) -> str:
        return f'-m comment --comment "{self.port.key} {text}"'

    @property
    def _refusal(self) -> tuple[str, str]:
        """(comment, target) for traffic that finds no endpoint."""
        if not self.decision.exists:
            return self._comment("has no endpoints"), "REJECT"
        return self._comment("has no local endpoints"), "DROP"

    def _cluster_ip(self) -> None:
        to = self._to(self.port.cluster_ip)
        if self.service.internal:
            chain = self.svl if self.port.internal_local else self.svc
            self.out.nat_services.append(f"{self._comment('cluster IP')} {to} -j {chain}")
        else:
            comment, target = self._refusal
            self.out.filter_services.append(f"{comment} {to} -j {target}")

    def _refuse_external(self, match: str) -> None:
        comment, target = self._refusal
        self.out.filter_external.append(f"{comment} {match} -j {target}")

    def _external_ips(self) -> None:
        for address in self.port.external_ips:
            to = self._to(address)
            if self.decision.exists:
                self.out.nat_services.append(f"{self._comment('external IP')} {to} -j {self.ext}")
            if not self.service.external:
                self._refuse_external(to)

    @property
    def _has_firewall(self) -> bool:
        return bool(
            self.decision.exists and self.port.load_balancer_ips and self.port.source_ranges
        )

    def _load_balancer_ips(self) -> None:
        chain = self.fw if self._has_firewall else self.ext
        for address in self.port.load_balancer_ips:
            to = self._to(address)
            if self.decision.exists:
                self.out.nat_services.append(f"{self._comment('loadbalancer IP')} {to} -j {chain}")
            if self._has_firewall:
                comment = self._comment(f"traffic not accepted by {self.fw}")
                self.out.filter_firewall.append(f"{comment} {to} -j DROP")
            if not self.service.external:
                self._refuse_external(to)

    def _node_port(self) -> None:
        port = self.port
        if port.node_port:
            comment = f'-m comment --comment "{port.key}"'
            to = f"{self.proto} --dport {port.node_port}"
            if self.decision.exists:
                self.out.nat_node_ports.append(f"{comment} {to} -j {self.ext}")
            if not self.service.external:
                self._refuse_external(f"-m addrtype --dst-type LOCAL {to}")
        if port.health_check_node_port:
            comment = self._comment("health check node port")
            to = f"-m tcp -p tcp --dport {port.health_check_node_port}"
            self.out.filter_node_ports.append(f"{comment} {to} -j ACCEPT")

    def _own_chains(self) -> None:
        masquerade = self._masquerade_cluster_ip()
        if self.decision.exists and self.port.is_external:
            self.out.chains[self.ext] = self._external_chain()
        if self._has_firewall:
            self.out.chains[self.fw] = self._firewall_chain()
        local = self.port.internal_local
        if self.decision.cluster and self.port.uses_cluster_endpoints:
            head = masquerade if not local else []
            self.out.chains[self.svc] = head + self._balance(self.decision.cluster)
        if self.decision.local and self.port.uses_local_endpoints:
            head = masquerade if local else []
            self.out.chains[self.svl] = head + self._balance(self.decision.local)
        for endpoint in self.decision.reachable:
            chain = names.iptables_endpoint(self.port, endpoint)
            self.out.chains[chain] = self._endpoint_chain(chain, endpoint)

    def _masquerade_cluster_ip(self) -> list[str]:
        rule = f"{self._comment('cluster IP')} {self._to(self.port.cluster_ip)}"
        if self.node.masquerade_all:
            return [f"{rule} {_MASQ}"]
        if self.node.local_cidr:
            return [f"{rule} ! -s {self.node.local_cidr} {_MASQ}"]
        return []

    def _external_chain(self) -> list[str]:
        key = self.port.key
        rules = []
        if not self.port.external_local:
            comment = f'-m comment --comment "masquerade traffic for {key} external destinations"'
            rules.append(f"{comment} {_MASQ}")
        else:
            if self.node.local_cidr:
                comment = f'-m comment --comment "pod traffic for {key} external destinations"'
                rules.append(f"{comment} -s {self.node.local_cidr} -j {self.svc}")
            here = "-m addrtype --src-type LOCAL"
            note = f'LOCAL traffic for {key} external destinations"'
            rules.append(f'-m comment --comment "masquerade {note} {here} {_MASQ}')
            rules.append(f'-m comment --comment "route {note} {here} -j {self.svc}')
        if self.service.external:
            rules.append(f"-j {self.svl if self.port.external_local else self.svc}")
        return rules

    def _firewall_chain(self) -> list[str]:
        comment = self._comment("loadbalancer IP")
        sources = list(self.port.source_ranges)
        if self.node.address and any(
            ip_address(self.node.address) in ip_network(cidr) for cidr in sources
        ):
            sources += self.port.load_balancer_ips
        rules = [f"{comment} -s {source} -j {self.ext}" for source in sources]
        last = f"other traffic to {self.port.key} will be dropped by KUBE-PROXY-FIREWALL"
        return [*rules, f'-m comment --comment "{last}"']

    def _balance(self, endpoints: Sequence[Endpoint]) -> list[str]:
        """Affinity first, then each endpoint with probability 1/n of what is left."""
        port, count = self.port, len(endpoints)
        affinity, rest = [], []
        for index, endpoint in enumerate(endpoints):
            chain = names.iptables_endpoint(port, endpoint)
            comment = (
                f'-m comment --comment "{port.key} -> {endpoint.text}" ' if self.comments else ""
            )
            if port.affinity_seconds:
                recent = f"-m recent --name {chain} --rcheck --seconds {port.affinity_seconds}"
                affinity.append(f"{comment}{recent} --reap -j {chain}")
            chance = (
                f"-m statistic --mode random --probability {1 / (count - index):.10f} "
                if index < count - 1
                else ""
            )
            rest.append(f"{comment}{chance}-j {chain}")
        return affinity + rest

    def _endpoint_chain(self, chain: str, endpoint: Endpoint) -> list[str]:
        comment = f'-m comment --comment "{self.port.key}" ' if self.comments else ""
        recent = f"-m recent --name {chain} --set " if self.port.affinity_seconds else ""
        return [
            f"{comment}-s {endpoint.address} {_MASQ}",
            f"{comment}{recent}{self.proto} -j DNAT --to-destination {endpoint.text}",
        ]


def _node_port_dispatch(node: NodeView) -> list[str]:
    comment = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last'
    comment += ' rule in this chain"'
    served = nodeports.addresses(node, "iptables")
    localhost = nodeports.serves_localhost(node)
    if served is not None:
        served = served if localhost else nodeports.without_loopback(served)
        return [f"{comment} -d {address} -j KUBE-NODEPORTS" for address in served]
    loopback = "::1/128" if node.family == 6 else "127.0.0.0/8"
    spare = "" if localhost else f"! -d {loopback} "
    return [f"{comment} -m addrtype --dst-type LOCAL {spare}-j KUBE-NODEPORTS"]


def _firewall(node: NodeView) -> list[str]:
    """CVE-2020-8558: route_localnet must not open the node's loopback to its neighbours."""
    if not nodeports.serves_localhost(node):
        return []
    comment = '-m comment --comment "block incoming localnet connections"'
    states = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
    return [f"{comment} -d 127.0.0.0/8 ! -s 127.0.0.0/8 {states} -j DROP"]


def _forward(node: NodeView) -> list[str]:
    invalid = [] if node.conntrack_be_liberal else ["-m conntrack --ctstate INVALID -j DROP"]
    note = '-m comment --comment "kubernetes forwarding'
    return [
        *invalid,
        f'{note} rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        f'{note} conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ]


def shared_chains(services: Iterable[ServiceRules], node: NodeView) -> Tables:
    """The chains that every sync writes anew: entry points, refusals, masquerade."""
    nat_services: list[str] = []
    nat_node_ports: list[str] = []
    filtered: dict[str, list[str]] = {
        "KUBE-SERVICES": [],
        "KUBE-EXTERNAL-SERVICES": [],
        "KUBE-PROXY-FIREWALL": [],
        "KUBE-NODEPORTS": [],
        "KUBE-FORWARD": _forward(node),
        "KUBE-FIREWALL": _firewall(node),
    }
    for rules in services:
        nat_services += rules.nat_services
        nat_node_ports += rules.nat_node_ports
        filtered["KUBE-SERVICES"] += rules.filter_services
        filtered["KUBE-EXTERNAL-SERVICES"] += rules.filter_external
        filtered["KUBE-PROXY-FIREWALL"] += rules.filter_firewall
        filtered["KUBE-NODEPORTS"] += rules.filter_node_ports
    return {
        "filter": filtered,
        "nat": {
            "KUBE-SERVICES": nat_services + _node_port_dispatch(node),
            "KUBE-NODEPORTS": nat_node_ports,
            "KUBE-POSTROUTING": [
                "-m mark ! --mark 0x4000/0x4000 -j RETURN",
                "-j MARK --xor-mark 0x4000",
                '-m comment --comment "kubernetes service traffic requiring SNAT"'
                " -j MASQUERADE --random-fully",
            ],
            "KUBE-MARK-MASQ": ["-j MARK --or-mark 0x4000"],
        },
    }


def compile_iptables(services: Sequence[Service], node: NodeView) -> Tables:
    """All chains of the proxy on `node`; `services` sorted by key gives equal text every time."""
    comments = sum(len(s.endpoints.reachable) for s in services) <= LARGE_CLUSTER_ENDPOINTS
    compiled = [compile_service(service, node, comments=comments) for service in services]
    shared = shared_chains(compiled, node)
    nat = dict(shared["nat"])
    for rules in compiled:
        nat.update(rules.chains)
    canary: dict[str, list[str]] = {CANARY: []}
    return {
        "mangle": canary,
        "filter": {**shared["filter"], **canary},
        "nat": {**nat, **canary},
    }
