"""What a cluster owns, or owned, in words: `6 network namespaces, 1 link`."""

from __future__ import annotations

from collections.abc import Mapping

_PLURALS = {"dir": "directories", "process": "processes", "netns": "network namespaces"}
_SINGULARS = {"dir": "directory", "netns": "network namespace"}


def in_words(counts: Mapping[str, int]) -> str:
    """`counts`: the ledger's kinds, each with its number; empty when all are 0."""
    return ", ".join(
        f"1 {_SINGULARS.get(kind, kind)}"
        if count == 1
        else f"{count} {_PLURALS.get(kind, kind + 's')}"
        for kind, count in counts.items()
        if count
    )
