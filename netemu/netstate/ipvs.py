"""IPVS as values: virtual servers and the real servers behind them, rendered, parsed and diffed.

https://man7.org/linux/man-pages/man8/ipvsadm.8.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Virtual(NamedTuple):
    """What makes a virtual server: two with the same are one. A tuple: there may be very many."""

    address: str
    protocol: str
    port: int

    @property
    def text(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


class Real(NamedTuple):
    """One server behind it; forwarded by NAT."""

    address: str
    port: int
    weight: int = 1

    @property
    def text(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How a virtual server balances, and over what. `persistent` in seconds; 0: not."""

    scheduler: str = "rr"
    persistent: int = 0
    reals: frozenset[Real] = field(default_factory=frozenset)


Servers = Mapping[Virtual, Server]

_FLAGS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}


def render(servers: Servers) -> str:
    """The servers as `ipvsadm -Sn` prints them, sorted."""
    lines = []
    for virtual in sorted(servers):
        server = servers[virtual]
        where = f"{_FLAGS[virtual.protocol]} {virtual.text}"
        persistent = f" -p {server.persistent}" if server.persistent else ""
        lines.append(f"-A {where} -s {server.scheduler}{persistent}\n")
        lines += [
            f"-a {where} -r {real.text} -m -w {real.weight}\n" for real in sorted(server.reals)
        ]
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Changes:
    """What leads from one set of servers to another."""

    added: tuple[Virtual, ...]
    updated: tuple[Virtual, ...]
    """Scheduler or persistence differ."""
    removed: tuple[Virtual, ...]
    added_reals: tuple[tuple[Virtual, Real], ...]
    updated_reals: tuple[tuple[Virtual, Real], ...]
    removed_reals: tuple[tuple[Virtual, Real], ...]


def diff(old: Servers, new: Servers) -> Changes:
    added_reals, updated_reals, removed_reals = [], [], []
    for virtual in sorted(new):
        if virtual not in old:
            added_reals += [(virtual, real) for real in sorted(new[virtual].reals)]
            continue
        before = {(r.address, r.port): r for r in old[virtual].reals}
        after = {(r.address, r.port): r for r in new[virtual].reals}
        added_reals += [(virtual, after[k]) for k in sorted(after) if k not in before]
        removed_reals += [(virtual, before[k]) for k in sorted(before) if k not in after]
        updated_reals += [
            (virtual, after[k]) for k in sorted(after) if k in before and before[k] != after[k]
        ]
    updated = [
        v
        for v in sorted(new)
        if v in old
        and (old[v].scheduler, old[v].persistent) != (new[v].scheduler, new[v].persistent)
    ]
    return Changes(
        tuple(v for v in sorted(new) if v not in old),
        tuple(updated),
        tuple(v for v in sorted(old) if v not in new),
        tuple(added_reals),
        tuple(updated_reals),
        tuple(removed_reals),
    )
