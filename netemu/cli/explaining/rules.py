"""A node's rules, compiled as its proxy compiles them in its mode, as sources for the tracer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netemu.netstate.iptables import Jump, Tables
from netemu.netstate.packet import Host
from netemu.netstate.trace import RuleSource
from netemu.netstate.trace.iptables import IptablesRules
from netemu.netstate.trace.nftables import NftRules
from netemu.proxy.endpoints import Service
from netemu.proxy.model import NodeView


def sources_of(
    mode: str, ports: Sequence[Service], view: NodeView
) -> tuple[list[RuleSource], Host]:
    """The rules, and the node as the kernel sees its addresses."""
    host = Host(addresses=frozenset(view.addresses))
    if mode == "iptables":
        from netemu.proxy.iptables import JUMPS, compile_iptables

        return [IptablesRules(_with_jumps(compile_iptables(ports, view), JUMPS))], host
    if mode == "flat":
        from netemu.proxy.flat import compile_flat

        return [NftRules(compile_flat(ports, view))], host
    if mode == "nftables":
        from netemu.proxy.nftables import compile_nftables

        return [NftRules(compile_nftables(ports, view))], host
    from netemu.netstate.trace.ipvs import IpvsRules
    from netemu.proxy.ipvs import compile_ipvs

    wanted = compile_ipvs(ports, view)
    tables = _with_jumps(wanted.tables, wanted.jumps)
    host = replace(host, placeholders=frozenset(wanted.addresses))
    return [IptablesRules(tables, wanted.sets), IpvsRules(wanted.servers)], host


def _with_jumps(tables: Tables, jumps: Iterable[Jump]) -> dict[str, dict[str, list[str]]]:
    """With the jumps that the node's applier puts into the built-in chains."""
    whole = {t: {c: list(rules) for c, rules in chains.items()} for t, chains in tables.items()}
    for jump in jumps:
        whole.setdefault(jump.table, {}).setdefault(jump.chain, []).append(jump.rule)
    return whole
