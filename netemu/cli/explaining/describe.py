"""The story of a packet as text, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from netemu.cli.explaining.world import Story
from netemu.netstate.trace import Outcome, Step

VERDICTS = {
    "reject": "REJECTED: the sender is told at once (connection refused)",
    "drop": "DROPPED: the sender hears nothing and times out",
}
_COMMENT = re.compile(r'--comment "?([^"]*)"?')


def print_story(story: Story) -> None:
    aim, sender = story.aim, story.sender
    print(
        f"{sender.name} ({sender.address}) -> {aim.text} {_joined(aim.address, aim.port)}"
        f"/{aim.protocol}"
    )
    if aim.note:
        print(f"note: {aim.note}")
    if story.obstacle:
        print(story.obstacle)
        return
    print(f"rules of {story.node}, proxy mode {story.mode}:")
    shared = _shared([outcome.steps for outcome in story.outcomes])
    for step in shared:
        _print_step(step)
    if not shared:
        print("  no rule matches")
    several = len(story.outcomes) > 1
    if several:
        print(f"then one of {len(story.outcomes)}, at random:")
    for number, outcome in enumerate(story.outcomes, 1):
        if several:
            print(f"{number}.", end="")
        for step in outcome.steps[len(shared) :]:
            _print_step(step)
        _print_end(story, outcome)


def _print_step(step: Step) -> None:
    print(f"  {step.where}: {step.rule}")
    comment = _COMMENT.search(step.rule)
    source = f"    ({comment[1]})" if comment else ""
    print(f"      {step.action}{source}")


def _print_end(story: Story, outcome: Outcome) -> None:
    if outcome.verdict != "accept":
        print(f"  => {VERDICTS.get(outcome.verdict, outcome.verdict)}")
        return
    place = story.places.get(outcome.address)
    leg = story.legs.get(outcome.address, "by the node's routes")
    changed = "destination becomes" if outcome.translated else "destination stays"
    print(f"  => {changed} {outcome.endpoint}: {place or 'nobody has this address'}, {leg}")
    if outcome.masqueraded:
        print(f"     the source becomes {story.node}'s address (masqueraded)")
    elif place:
        print(f"     the source stays {story.sender.address}")


def _shared(paths: Sequence[Sequence[Step]]) -> list[Step]:
    """The steps that all outcomes begin with."""
    shared = []
    for steps in zip(*paths, strict=False):
        if any(step != steps[0] for step in steps):
            break
        shared.append(steps[0])
    return shared


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def document(story: Story) -> dict[str, Any]:
    """For programs: every outcome with all its steps."""
    return {
        "from": {"name": story.sender.name, "address": story.sender.address},
        "to": {
            "name": story.aim.text,
            "address": story.aim.address,
            "port": story.aim.port,
            "protocol": story.aim.protocol,
        },
        "node": story.node,
        "proxyMode": story.mode,
        "arrives": story.arrives,
        "obstacle": story.obstacle or story.aim.note,
        "outcomes": [
            {
                "verdict": outcome.verdict,
                "address": outcome.address,
                "port": outcome.port,
                "translated": outcome.translated,
                "masqueraded": outcome.masqueraded,
                "place": story.places.get(outcome.address, ""),
                "steps": [
                    {"where": step.where, "rule": step.rule, "action": step.action}
                    for step in outcome.steps
                ],
            }
            for outcome in story.outcomes
        ],
    }
