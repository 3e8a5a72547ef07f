"""The IPVS evaluator: a virtual server in the input hook, and in output for the node's own packets.

It runs right behind NAT's own place there, so the iptables rules have marked the packet already.
linux/net/netfilter/ipvs/ip_vs_core.c
"""

from __future__ import annotations

from collections.abc import Iterator

from netemu.netstate.ipvs import Servers, Virtual
from netemu.netstate.trace.walk import ACCEPT, REJECT, BaseChain, Walk


class IpvsRules:
    """The virtual servers of one node, as a source of rules for `trace`."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def at(self, hook: str) -> Iterator[BaseChain]:
        if hook == "output":
            yield BaseChain(-99, self._balance)
        if hook == "input":
            yield BaseChain(99, self._balance)

    def _balance(self, walk: Walk) -> str:
        if walk.translated:
            return ACCEPT
        virtual = Virtual(walk.address, walk.packet.protocol, walk.port)
        server = self._servers.get(virtual)
        if server is None:
            return ACCEPT
        reals = sorted(real for real in server.reals if real.weight > 0)
        if not reals:
            walk.note("ipvs", virtual.text, "reject")
            return REJECT
        remembered = walk.memory.get(f"ipvs {virtual.text}", set()) if server.persistent else set()
        kept = [real for real in reals if f"{walk.packet.source} {real.text}" in remembered]
        real = kept[0] if kept else reals[walk.choices.pick(len(reals))]
        if server.persistent:
            walk.memory.setdefault(f"ipvs {virtual.text}", set()).add(
                f"{walk.packet.source} {real.text}"
            )
        walk.note("ipvs", virtual.text, f"dnat {real.text}")
        walk.translate(real.address, real.port)
        return ACCEPT
