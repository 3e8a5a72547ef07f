"""The netfilter hooks in the order in which a packet meets them.

    from the wire:  prerouting -> input (to the node) | forward -> postrouting
    from the node:  output -> postrouting (-> input, over lo)

Base chains of one hook run by priority, whoever owns them; a DROP ends the walk, an ACCEPT only
the chain. NAT chains see a connection's first packet only, and only the first translation counts.
https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from netemu.netstate.packet import Host, Packet
from netemu.netstate.trace.outcome import Choices, Outcome, Step

ACCEPT, DROP, REJECT, CONTINUE, RETURN = "accept", "drop", "reject", "continue", "return"


@dataclass(slots=True)
class Walk:
    """A packet on its way: what rules read and write."""

    packet: Packet
    host: Host
    choices: Choices
    memory: dict[str, set[str]]
    """Members of the dynamic sets (affinity), by set name."""
    address: str
    port: int
    hook: str = ""
    mark: int = 0
    translated: bool = False
    masqueraded: bool = False
    steps: list[Step] = field(default_factory=list)

    def note(self, where: str, rule: str, action: str) -> None:
        self.steps.append(Step(where, rule, action))

    def translate(self, address: str, port: int) -> None:
        if not self.translated:
            self.address, self.port, self.translated = address, port, True


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain attached to a hook. `run` gives a verdict: accept, drop or reject."""

    priority: int
    run: Callable[[Walk], str]
    is_nat: bool = False


class RuleSource(Protocol):
    """Rules of one owner: a node's iptables, an nft table, IPVS."""

    def at(self, hook: str) -> Iterable[BaseChain]: ...


def _run_hook(walk: Walk, hook: str, sources: Sequence[RuleSource], *, nat: bool = True) -> str:
    walk.hook = hook
    chains = [chain for source in sources for chain in source.at(hook)]
    for chain in sorted(chains, key=lambda c: c.priority):
        if chain.is_nat and (walk.packet.state != "NEW" or not nat):
            continue
        verdict = chain.run(walk)
        if verdict in (DROP, REJECT):
            return verdict
    return ACCEPT


def _path(walk: Walk, sources: Sequence[RuleSource], from_node: bool) -> str:
    first = "output" if from_node else "prerouting"
    verdict = _run_hook(walk, first, sources)
    if verdict != ACCEPT:
        return verdict
    if from_node:
        verdict = _run_hook(walk, "postrouting", sources)
        if verdict == ACCEPT and walk.host.is_local(walk.address):
            verdict = _run_hook(walk, "input", sources, nat=False)
        return verdict
    if walk.host.is_local(walk.address):
        before = walk.translated
        verdict = _run_hook(walk, "input", sources)
        if verdict != ACCEPT or before == walk.translated:
            return verdict
        # IPVS took it in the input hook: it leaves through output, like a packet of the node.
        verdict = _run_hook(walk, "output", sources, nat=False)
    else:
        verdict = _run_hook(walk, "forward", sources)
    return verdict if verdict != ACCEPT else _run_hook(walk, "postrouting", sources)


def trace(
    packet: Packet,
    sources: Sequence[RuleSource],
    host: Host,
    *,
    from_node: bool = False,
    memory: dict[str, set[str]] | None = None,
) -> list[Outcome]:
    """Every way that `packet` may go through the rules of `host`.

    `from_node`: a process of the node itself sends it. `memory` carries the dynamic sets from one
    packet to the next; without it every packet meets empty ones.
    """
    choices = Choices()
    kept = memory if memory is not None else {}

    def walk_once() -> tuple[Outcome, dict[str, set[str]]]:
        own = {name: set(members) for name, members in kept.items()}
        walk = Walk(packet, host, choices, own, packet.destination, packet.destination_port)
        verdict = _path(walk, sources, from_node)
        outcome = Outcome(
            verdict,
            walk.address,
            walk.port,
            walk.translated,
            walk.masqueraded,
            tuple(walk.steps),
        )
        return outcome, own

    results = choices.every(walk_once)
    if memory is not None:
        # The first outcome is taken as what happened.
        memory.clear()
        memory.update(results[0][1])
    return [outcome for outcome, _ in results]
