"""What a proxy in IPVS mode holds on a node: for comparing ours with the real one.

Servers, sets, the addresses of kube-ipvs0 and the rules that look into the sets, less what only
kube-proxy 1.20 has (servers on 127.0.0.1, marks for dropping, the API's own Service) and less what
later ones brought: two sets, what they are for in filter, and the way out for loopback in nat.
"""

from __future__ import annotations

import re

from netemu.netstate.iptables import parse
from netemu.node import netns
from real_proxy import BARRIER_ENDPOINT, BARRIER_IP
from real_rules import Paths

_API = "10.96.0.1"
_FOREIGN = re.compile(
    "|".join(rf"\b{re.escape(x)}\b" for x in (_API, BARRIER_IP, BARRIER_ENDPOINT, "127.0.0.1"))
)
_ONLY_ONE_HAS = {"KUBE-IPVS-IPS", "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-FIREWALL", "KUBE-MARK-DROP"}
_LOOPBACK = "-s 127.0.0.0/8 -j RETURN"


async def observe(path: str) -> Paths:
    """By kind, set or chain; in order where order matters."""
    servers = await _lines(path, "ipvsadm", "-S", "-n")
    addresses = await _lines(path, "ip", "-o", "-4", "address", "show", "dev", "kube-ipvs0")
    found = {"servers": sorted(servers), "addresses": sorted(x.split()[3] for x in addresses)}
    for line in sorted(await _lines(path, "ipset", "save"), reverse=True):  # `create` before `add`
        _, name, value, *_ = line.split()
        found.setdefault(name, []).append(value)
    saved = await netns.run(path, ["iptables-save", "-t", "nat"])
    for chain, rules in parse(saved.decode())["nat"].items():
        found[f"chain {chain}"] = [rule for rule in rules if rule != _LOOPBACK]
    return {name: lines for name, lines in found.items() if name.split()[-1] not in _ONLY_ONE_HAS}


async def _lines(path: str, *command: str) -> list[str]:
    printed = (await netns.run(path, list(command))).decode()
    return [line for line in printed.splitlines() if not _FOREIGN.search(line)]
