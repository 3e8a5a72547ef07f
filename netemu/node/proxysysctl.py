"""The kernel settings that kube-proxy makes in its node's network namespace.

https://docs.kernel.org/networking/ip-sysctl.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netemu.node import netns

_ROOT = Path("/proc/sys/net")
_BE_LIBERAL = "netfilter/nf_conntrack_tcp_be_liberal"

CONNTRACK = {
    "netfilter/nf_conntrack_tcp_timeout_established": "86400",
    "netfilter/nf_conntrack_tcp_timeout_close_wait": "3600",
}
"""kube-proxy's defaults. nf_conntrack_max belongs to the whole machine, so it stays as it is."""
ROUTE_LOCALNET = {"ipv4/conf/all/route_localnet": "1"}
"""Lets 127.0.0.1:nodePort be translated to another node (iptables.localhostNodePorts)."""
NO_ROUTE_LOCALNET = {"ipv4/conf/all/route_localnet": "0"}
"""The kernel's own setting: without the rules of KUBE-FIREWALL, neighbours reached 127.0.0.1."""


def _write(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        path = _ROOT / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


async def apply_sysctls(path: str, values: Mapping[str, str]) -> None:
    """Set `values` in the namespace at `path`; those that the kernel has not are left out."""
    await netns.await_in(path, lambda: _write(values))


async def observe_be_liberal(path: str) -> bool:
    """Whether conntrack lets out-of-window segments pass there."""

    def read() -> bool:
        found = _ROOT / _BE_LIBERAL
        return found.exists() and found.read_text().strip() != "0"

    return await netns.await_in(path, read)
