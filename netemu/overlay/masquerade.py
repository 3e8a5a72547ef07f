"""flannel's iptables rules: who is masqueraded when leaving the pod network, and what is forwarded.

The order of FLANNEL-POSTRTG decides:

    1  marked 0x4000           RETURN      kube-proxy masquerades that itself
    2  our pods -> pods        RETURN      a pod sees the other pod's own address
    3  pods -> our pods        RETURN
    4  outside -> our pods     RETURN      who comes from outside to a pod of ours stays visible
    5  pods -> outside         MASQUERADE  (multicast apart)
    6  outside -> other pods   MASQUERADE  so that answers come back through this node

https://github.com/flannel-io/flannel/blob/master/pkg/trafficmngr/iptables/iptables.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netemu.overlay.lease import family_of

_MASQ, _FORWARD = '-m comment --comment "flanneld masq"', '-m comment --comment "flanneld forward"'
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}

JUMPS = {
    "nat": f"-A POSTROUTING {_MASQ} -j FLANNEL-POSTRTG",
    "filter": f"-A FORWARD {_FORWARD} -j FLANNEL-FWD",
}
"""Appended, so that kube-proxy's own jumps, which it prepends, come first."""

CHAINS = {"nat": "FLANNEL-POSTRTG", "filter": "FLANNEL-FWD"}


def compile_rules(network: str, subnet: str) -> dict[str, tuple[str, ...]]:
    """Rules of our chain in each table, in iptables-save's own spelling."""
    multicast = _MULTICAST[family_of(network)]
    chain, forward = CHAINS["nat"], CHAINS["filter"]
    return {
        "nat": (
            f"-A {chain} -m mark --mark 0x4000/0x4000 {_MASQ} -j RETURN",
            f"-A {chain} -s {subnet} -d {network} {_MASQ} -j RETURN",
            f"-A {chain} -s {network} -d {subnet} {_MASQ} -j RETURN",
            f"-A {chain} ! -s {network} -d {subnet} {_MASQ} -j RETURN",
            f"-A {chain} -s {network} ! -d {multicast} {_MASQ} -j MASQUERADE --random-fully",
            f"-A {chain} ! -s {network} -d {network} {_MASQ} -j MASQUERADE --random-fully",
        ),
        "filter": (
            f"-A {forward} -s {network} {_FORWARD} -j ACCEPT",
            f"-A {forward} -d {network} {_FORWARD} -j ACCEPT",
        ),
    }


def diff(wanted: Mapping[str, Sequence[str]], saved: str) -> str:
    """Input for `iptables-restore --noflush` that repairs what `iptables-save` shows.

    Empty when nothing is wrong. Any difference rebuilds the whole chain: order is what counts.
    """
    present = _tables(saved)
    blocks = []
    for table, rules in wanted.items():
        chain, jump = CHAINS[table], JUMPS[table]
        lines = present.get(table, [])
        found = [line for line in lines if line.startswith(f"-A {chain} ")]
        body = []
        if found != list(rules):
            body += [f":{chain} - [0:0]", *rules]
        if jump not in lines:
            body = [f":{chain} - [0:0]", *rules, jump]
        if body:
            blocks.append("\n".join([f"*{table}", *body, "COMMIT", ""]))
    return "".join(blocks)


def _tables(saved: str) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    current: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            current = tables.setdefault(line[1:], [])
        elif line.startswith("-A "):
            current.append(line)
    return tables
