"""`netemu taint NODE KEY=VALUE:EFFECT… KEY-…`.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

import re
from typing import Any

import click

from netemu.cli.cordon import node_targets
from netemu.cli.failures import CommandFailed
from netemu.cli.session import Command, Session, pass_session

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
Taint = dict[str, Any]


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="[nodes] NODE… KEY=VALUE:EFFECT… KEY-…")
@click.option("-l", "--selector", "labels", default="", help="Nodes by label.")
@click.option("--all", "everything", is_flag=True, help="All nodes.")
@click.option("--overwrite", is_flag=True, help="Taints that are there may change.")
@pass_session
def taint(
    session: Session, /, words: tuple[str, ...], labels: str, everything: bool, overwrite: bool
) -> None:
    """Set or remove taints of nodes."""
    rest = words[1:] if words[0] in ("node", "nodes", "no") else words
    changes = [word for word in rest if ":" in word or "=" in word or word.endswith("-")]
    names = tuple(word for word in rest if word not in changes)
    added, removed = parse_taints(changes)
    if not changes:
        raise click.UsageError("at least one taint update is required")
    if everything:
        listed = session.api.get("/api/v1/nodes").get("items") or []
        names = tuple(item["metadata"]["name"] for item in listed)
    for node in node_targets(session, names, labels):
        live = session.api.get(node.path)
        before = (live.get("spec") or {}).get("taints") or []
        after = changed(before, added, removed, overwrite, node.name)
        version = live["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": after or None}}
        session.api.patch(node.path, patch)
        print(f"{node} {'tainted' if added else 'untainted'}")


def parse_taints(words: list[str]) -> tuple[list[Taint], list[Taint]]:
    """(to add, to remove); a removal may leave the effect out."""
    added: list[Taint] = []
    removed: list[Taint] = []
    for word in words:
        match = re.fullmatch(r"([^=:]+?)(?:=([^:]*))?(?::([A-Za-z]*))?(-?)", word)
        effect = match[3] if match else ""
        if match is None or (effect and effect not in EFFECTS) or not (effect or match[4]):
            raise click.UsageError(
                f"invalid taint spec: {word}, must be KEY=VALUE:EFFECT with one of"
                f" {', '.join(EFFECTS)}, or KEY-"
            )
        found: Taint = {"key": match[1]}
        if match[2]:
            found["value"] = match[2]
        if effect:
            found["effect"] = effect
        (removed if match[4] else added).append(found)
    return added, removed


def changed(
    before: list[Taint], added: list[Taint], removed: list[Taint], overwrite: bool, node: str
) -> list[Taint]:
    """The node's taints afterwards; CommandFailed when one exists already or none is removed."""
    after = list(before)
    for each in removed:
        kept = [taint for taint in after if not _matches(taint, each)]
        if len(kept) == len(after):
            effect = f":{each['effect']}" if each.get("effect") else ""
            raise CommandFailed(f'taint "{each["key"]}{effect}" not found')
        after = kept
    for each in added:
        same = [taint for taint in after if _matches(taint, each)]
        if same and not overwrite:
            raise CommandFailed(
                f"node {node} already has {each['key']} taint(s) with same effect(s) and"
                " --overwrite is false"
            )
        after = [taint for taint in after if taint not in same] + [each]
    return after


def _matches(taint: Taint, wanted: Taint) -> bool:
    effect = wanted.get("effect")
    return bool(taint["key"] == wanted["key"] and effect in (None, taint.get("effect")))
