"""What one cluster's overlay is told: flannel's net-conf.json and flags.

https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md
"""

from __future__ import annotations

from dataclasses import dataclass

from netemu.overlay.lease import Family, family_of

VXLAN, HOST_GW = "vxlan", "host-gw"
VXLAN_OVERHEAD = 50
"""Inner Ethernet 14, outer IPv4 20, UDP 8, VXLAN 8; flannel counts the same for IPv6."""
VXLAN_OVERHEAD_V6 = 70
"""What the kernel takes off an IPv6 tunnel; path MTU discovery tells pods of the missing 20."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySettings:
    """`networks`: the whole cluster's pod networks, one a family. `mtu`: the underlay's."""

    networks: tuple[str, ...]
    backend: str = VXLAN
    vni: int = 1
    port: int = 8472
    mtu: int = 1500
    device: str = "eth0"
    direct_routing: bool = False
    """VXLAN only: peers on the same wire are reached by plain routes."""

    @property
    def pod_mtu(self) -> int:
        return self.mtu - (VXLAN_OVERHEAD if self.backend == VXLAN else 0)

    def tunnel_mtu(self, family: Family) -> int:
        """MTU of the VXLAN device; the kernel would not give it more."""
        return self.mtu - (VXLAN_OVERHEAD if family == 4 else VXLAN_OVERHEAD_V6)

    def network(self, family: Family) -> str:
        """The cluster's pod network of a family; empty when it has none."""
        return next((net for net in self.networks if family_of(net) == family), "")

    def vxlan_name(self, family: Family) -> str:
        return f"flannel.{self.vni}" if family == 4 else f"flannel-v6.{self.vni}"
