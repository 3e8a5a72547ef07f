"""Which backend serves which proxy mode, and what all of them ask the kernel."""

from __future__ import annotations

import asyncio
import json

from netemu.config.cluster import PROXY_MODES
from netemu.node import netns
from netemu.node.iptables import IptablesBackend, IptablesTool, is_own
from netemu.node.nfsocket import NfSocket
from netemu.node.nftables import FLAT, NFTABLES, NftBackend
from netemu.node.proxybackend import Backend

PLACEHOLDER_DEVICE = "kube-ipvs0"
_TABLES = {"nftables": NFTABLES.table, "flat": FLAT.table}


def open_backend(mode: str, path: str, family: int = 4, lock_file: str = "") -> Backend:
    """The backend of `mode` in the namespace at `path`."""
    if mode == "iptables":
        return IptablesBackend(path, family, lock_file)
    if mode == "nftables":
        return NftBackend(path, family, NFTABLES)
    if mode == "flat":
        return NftBackend(path, family, FLAT)
    if mode == "ipvs":
        from netemu.node.ipvs import IpvsBackend  # 60 ms that most clusters need not wait for

        return IpvsBackend(path, family, lock_file)
    raise ValueError(f"unknown proxy mode {mode}; there are {', '.join(PROXY_MODES)}")


async def clean_others(mode: str, path: str, family: int, lock_file: str = "") -> set[str]:
    """Remove what other modes left in the namespace (a former daemon's); which ones there were."""
    found = set()
    for other in PROXY_MODES:
        if other != mode and await _is_left(other, mode, path, family, lock_file):
            backend = open_backend(other, path, family, lock_file)
            try:
                await backend.clean()
            finally:
                backend.close()
            found.add(other)
    return found


async def _is_left(mode: str, now: str, path: str, family: int, lock_file: str) -> bool:
    """Whether anything of `mode` is there, and not of the mode `now`."""
    if mode in _TABLES:

        def look() -> bool:
            socket = NfSocket(path)
            try:
                return socket.has_table(family, _TABLES[mode])
            finally:
                socket.close()

        return await asyncio.to_thread(look)
    tool = IptablesTool(path, family, lock_file)
    if mode == "ipvs":
        return await tool.chains_exist([("nat", "KUBE-NODE-PORT")])
    # Large rule sets come and go in pieces: a sync cut short has left some chains and not others.
    chains = {chain for table in (await tool.save()).values() for chain in table}
    if now == "ipvs":
        from netemu.proxy.ipvsrules import CHAINS

        chains -= CHAINS  # of one name in both modes
    return any(map(is_own, chains))


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
