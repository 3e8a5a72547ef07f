"""Each kind has a place of its own."""

from __future__ import annotations

from collections import Counter

from netemu.api.kinds import ALL
from netemu.api.metrics import METRICS
from netemu.apiserver.registry import prefix_of


def test_no_two_kinds_are_stored_at_the_same_place():
    """The metrics API has pods and nodes too: watches of the real ones must not become theirs."""
    stored = Counter(prefix_of(kind) for kind in (*ALL, *METRICS) if "watch" in kind.verbs)
    shown = {prefix_of(kind) for kind in METRICS}
    assert [prefix for prefix, count in stored.items() if count > 1] == []
    assert not shown & stored.keys()
