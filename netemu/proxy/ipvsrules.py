"""The iptables side of IPVS mode: a fixed set of rules, which mark and guard by ipsets.

Each stands while the sets that it looks into have entries; none grows with the Services.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/proxier.go
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from netemu.netstate.iptables import Jump, Tables
from netemu.proxy.ipvssets import SETS, set_name
from netemu.proxy.model import NodeView

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


class _Rules:
    """The iptables side: a fixed set of rules, each present while its ipset has entries."""

    def __init__(self, filled: Collection[str], node: NodeView) -> None:
        self._filled, self._node = filled, node

    def _match(self, name: str, places: str) -> str:
        comment = SETS[name][1]
        shown = set_name(name, self._node.family)
        return f'-m comment --comment "{comment}" -m set --match-set {shown} {places}'

    def if_filled(self, name: str, places: str, target: str, proto: str = "") -> list[str]:
        if name not in self._filled:
            return []
        start = f"-p {proto} " if proto else ""
        return [f"{start}{self._match(name, places)} -j {target}"]

    def services(self) -> list[str]:
        itself = "::1/128" if self._node.family == 6 else "127.0.0.0/8"
        rules = [f"-s {itself} -j RETURN"]
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
