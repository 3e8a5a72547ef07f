"""What the collector does with one object. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/garbagecollector/garbagecollector.go
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.controllers.garbage.graph import Node

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
Owner = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """At most one of these is set."""

    delete: str = ""
    """Delete it, with this propagation policy."""
    drop_owners: frozenset[str] = frozenset()
    """Take these uids out of its ownerReferences: other owners keep it alive."""
    release: tuple[str, ...] = ()
    """Uids of dependents that lose it as an owner, before its finalizer goes."""
    drop_finalizer: str = ""
    """Nothing holds it any more."""
    press: tuple[str, ...] = ()
    """Uids of dependents to look at: they have to go before it may."""


def judge(
    node: Node, dependents: Sequence[Node], state: Callable[[Owner], str], has_dependents: bool
) -> Verdict:
    """`state(owner reference)`: `solid`, `waiting` (foreground, for its dependents), `absent`."""
    if node.deleting and ORPHAN in node.finalizers:
        return Verdict(release=tuple(child.uid for child in dependents), drop_finalizer=ORPHAN)
    if node.deleting and FOREGROUND in node.finalizers:
        return _judge_foreground(node, dependents)
    if node.deleting or not node.owners:
        return Verdict()
    states = {owner["uid"]: state(owner) for owner in node.owners}
    gone = frozenset(uid for uid, found in states.items() if found != "solid")
    if not gone:
        return Verdict()
    if len(gone) < len(states):
        return Verdict(drop_owners=gone)
    if has_dependents and "waiting" in states.values():
        # Its owner waits in the foreground, so it waits for its own dependents likewise.
        return Verdict(delete="Foreground")
    if ORPHAN in node.finalizers:
        return Verdict(delete="Orphan")
    return Verdict(delete="Foreground" if FOREGROUND in node.finalizers else "Background")


def _judge_foreground(node: Node, dependents: Sequence[Node]) -> Verdict:
    blocking = [child for child in dependents if _blocks(child, node.uid)]
    if not blocking:
        return Verdict(drop_finalizer=FOREGROUND)
    return Verdict(press=tuple(child.uid for child in dependents if not child.deleting))


def _blocks(child: Node, owner: str) -> bool:
    return any(ref["uid"] == owner and ref.get("blockOwnerDeletion") for ref in child.owners)
