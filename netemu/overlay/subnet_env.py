"""subnet.env: where flannel tells the CNI plugin what this node's pods get.

https://www.cni.dev/plugins/current/meta/flannel/
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from netemu.overlay.lease import family_of
from netemu.overlay.settings import OverlaySettings


def render(settings: OverlaySettings, subnets: Iterable[str]) -> str:
    """The file; `subnets` are the node's, one a family. The gateway's address stands in them."""
    lines = []
    for subnet in subnets:
        family = family_of(subnet)
        prefix = "FLANNEL_IPV6" if family == 6 else "FLANNEL"
        network = ip_network(subnet)
        lines.append(f"{prefix}_NETWORK={settings.network(family)}")
        lines.append(f"{prefix}_SUBNET={network[1]}/{network.prefixlen}")
    lines.append(f"FLANNEL_MTU={settings.pod_mtu}")
    lines.append("FLANNEL_IPMASQ=true")
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[str, str]:
    """Its variables."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value for key, _, value in pairs}
