"""The programs of the distribution that netemu runs or that its users look at nodes with."""

from __future__ import annotations

PACKAGES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
    "ip6tables": "iptables",
    "ip6tables-restore": "iptables",
    "ip6tables-save": "iptables",
    "nft": "nftables",
    "ipset": "ipset",
    "ipvsadm": "ipvsadm",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
    "tcpdump": "tcpdump",
    "busybox": "busybox-static",
}
"""Program -> Debian's and Ubuntu's package."""


def install_hint(program: str) -> str:
    """What to type when `program` is missing."""
    package = PACKAGES.get(program)
    return f"apt install {package}" if package else f"install the program {program}"
