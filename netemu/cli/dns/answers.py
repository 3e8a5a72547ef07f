"""A walk along a search list, as text and as JSON: what was asked, what came, why it went on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netemu.dns import wire

if TYPE_CHECKING:
    from netemu.dns.stub import Resolver, Walk


def render(done: Walk, model: str, resolver: Resolver) -> Iterator[str]:
    """Lines: the resolv.conf, a line for each answer with its time, the sum."""
    yield (
        f"{model}: nameserver {' '.join(resolver.nameservers)}"
        f" search {' '.join(resolver.searches) or '-'} ndots:{resolver.ndots}"
    )
    width = max(len(step.name) for step in done.steps)
    for step in done.steps:
        for outcome in step.outcomes:
            data = " ".join((*outcome.aliases, *outcome.addresses))
            yield (
                f"{step.name:{width}} {wire.type_name(outcome.qtype):5} {outcome.verdict:9}"
                f" {outcome.seconds * 1e3:8.2f} ms  {data}".rstrip()
            )
        yield f"  {step.why}"
    yield f"{done.queries} queries, {'found' if done.found else done.error}"


def as_json(done: Walk) -> dict[str, object]:
    """The same for programs; times in seconds."""
    return {
        "found": [address for outcome in done.found for address in outcome.addresses],
        "error": done.error,
        "queries": done.queries,
        "steps": [
            {
                "name": step.name,
                "why": step.why,
                "outcomes": [
                    {
                        "type": wire.type_name(outcome.qtype),
                        "verdict": outcome.verdict,
                        "server": outcome.server,
                        "seconds": round(outcome.seconds, 6),
                        "aliases": list(outcome.aliases),
                        "data": list(outcome.addresses),
                    }
                    for outcome in step.outcomes
                ],
            }
            for step in done.steps
        ],
    }
