"""Which backend serves which proxy mode, and what all of them ask the kernel."""

from __future__ import annotations

import json

from netemu.config.cluster import PROXY_MODES
from netemu.node import netns
from netemu.node.iptables import IptablesBackend
from netemu.node.ipvs import IpvsBackend
from netemu.node.nftables import FLAT, NFTABLES, NftBackend
from netemu.node.proxybackend import Backend

PLACEHOLDER_DEVICE = "kube-ipvs0"


def open_backend(mode: str, path: str, family: int = 4, lock_file: str = "") -> Backend:
    """The backend of `mode` in the namespace at `path`."""
    if mode == "iptables":
        return IptablesBackend(path, family, lock_file)
    if mode == "nftables":
        return NftBackend(path, family, NFTABLES)
    if mode == "flat":
        return NftBackend(path, family, FLAT)
    if mode == "ipvs":
        return IpvsBackend(path, family, lock_file)
    raise ValueError(f"unknown proxy mode {mode}; there are {', '.join(PROXY_MODES)}")


async def observe_addresses(path: str, family: int) -> tuple[str, ...]:
    """The node's own addresses, sorted; loopback and IPVS's placeholders left out."""
    flag = "-6" if family == 6 else "-4"
    links = json.loads(await netns.run(path, ["ip", "-j", flag, "address"]) or b"[]")
    return tuple(
        sorted(
            entry["local"]
            for link in links
            if link.get("ifname") not in ("lo", PLACEHOLDER_DEVICE)
            for entry in link.get("addr_info", ())
            if entry.get("scope") != "link"
        )
    )
