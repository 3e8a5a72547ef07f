"""Links that netemu writes into a node's kernel, as values. ip-link(8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VxlanLink:
    """A VXLAN device that does not learn; `device` is the underlay link below it."""

    name: str
    vni: int
    port: int
    local: str
    device: str
    mtu: int
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Address:
    """`cidr` is address/length on link `device`."""

    device: str
    cidr: str
