"""kube-proxy's settings on one node, and what its compilers see of them.

https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netemu.proxy import nodeports
from netemu.proxy.model import Family, NodeView


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """kube-proxy's settings on one node; networks hold one CIDR a family."""

    mode: str = "iptables"
    pod_cidrs: Sequence[str] = ("10.244.0.0/16",)
    service_cidrs: Sequence[str] = ("10.96.0.0/12",)
    masquerade_all: bool = False
    node_port_addresses: Sequence[str] = ()
    """Networks of both families, or `primary`."""
    localhost_node_ports: bool = True
    min_sync_period: float = 0.0
    sync_period: float = 30.0
    ipvs_scheduler: str = "rr"
    lock_file: str = ""
    """xtables lock of this node alone."""


def of_family(cidrs: Sequence[str], family: int) -> tuple[str, ...]:
    return tuple(cidr for cidr in cidrs if (":" in cidr) == (family == 6))


def families(options: ProxyOptions) -> list[Family]:
    families: list[Family] = []
    if of_family(options.service_cidrs, 4):
        families.append(4)
    if of_family(options.service_cidrs, 6):
        families.append(6)
    return families


def view_of(node_name: str, family: Family, options: ProxyOptions) -> NodeView:
    pods = of_family(options.pod_cidrs, family)
    return NodeView(
        name=node_name,
        family=family,
        local_cidr=pods[0] if pods else "",
        masquerade_all=options.masquerade_all,
        node_port_addresses=nodeports.of_family(options.node_port_addresses, family),
        localhost_node_ports=options.localhost_node_ports,
        service_cidrs=of_family(options.service_cidrs, family),
        ipvs_scheduler=options.ipvs_scheduler,
    )
