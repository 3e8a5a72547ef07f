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
BASE_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
_NOISE = re.compile(r'-m comment --comment (?:"[^"]*"|\S+)|-m tcp(?= )|-m udp(?= )')


def print_story(story: Story, *, everything: bool = False) -> None:
    """Rules that decide; with `everything`, also those that matched and changed nothing."""
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
    paths = [list(o.steps) if everything else deciding(o.steps) for o in story.outcomes]
    shared = _shared(paths)
    for step in shared:
        _print_step(step, "  ")
    if not any(paths):
        print("  no rule is about it")
    several = len(story.outcomes) > 1
    if several:
        print(f"then one of {len(story.outcomes)} at random:")
    for number, (path, outcome) in enumerate(zip(paths, story.outcomes, strict=True), 1):
        indent = f"  {number}. " if several else "  "
        for step in path[len(shared) :]:
            _print_step(step, indent)
            indent = " " * len(indent)
        _print_end(story, outcome, indent)


def deciding(steps: Sequence[Step]) -> list[Step]:
    """Steps that do something, and the jumps that lead to them."""
    kept: list[Step] = []
    position = 0
    while position < len(steps):
        step = steps[position]
        target = _jumps_to(step)
        end = position + 1
        if target:
            end = _end_of(steps, position + 1, step, target)
            inner = deciding(steps[position + 1 : end])
            kept += [step, *inner] if inner else []
        elif step.action != "return":
            kept.append(step)
        position = end
    return kept


def _jumps_to(step: Step) -> str:
    verb, _, target = step.action.partition(" ")
    return target if verb in ("jump", "goto") else ""


def _end_of(steps: Sequence[Step], start: int, jump: Step, target: str) -> int:
    """The end of what happened in the chain `target`: the caller's next rule, or another hook's."""
    inside = f"{jump.where.partition(' ')[0]} {target}"
    if start >= len(steps) or steps[start].where != inside:
        return start
    for position in range(start, len(steps)):
        if steps[position].where == jump.where or _is_base(steps[position]):
            return position
    return len(steps)


def _is_base(step: Step) -> bool:
    """Whether the rule stands in a chain that a hook calls."""
    chain = step.where.partition(" ")[2]
    return chain in BASE_CHAINS or chain.startswith(("nat-", "filter-"))


def _print_step(step: Step, indent: str) -> None:
    rule = " ".join(_NOISE.sub("", step.rule).split())
    comment = _COMMENT.search(step.rule)
    about = f"    # {comment[1] or comment[2]}" if comment else ""
    print(f"{indent}{step.where}: {rule}".rstrip(": ") + about)
    if not _says(rule, step.action):
        print(f"{' ' * len(indent)}  {step.action}")


def _says(rule: str, action: str) -> bool:
    """Whether the rule's own text tells already what it did."""
    verb, _, argument = action.partition(" ")
    return verb == "continue" or (argument in rule and (verb in rule.lower() or verb == "jump"))


def _print_end(story: Story, outcome: Outcome, indent: str) -> None:
    if outcome.verdict != "accept":
        print(f"{indent}=> {VERDICTS.get(outcome.verdict, outcome.verdict)}")
        return
    place = story.places.get(outcome.address)
    leg = story.legs.get(outcome.address, "by the node's routes")
    changed = "destination becomes" if outcome.translated else "destination stays"
    print(f"{indent}=> {changed} {outcome.endpoint}: {place or 'nobody has this address'}, {leg}")
    blank = " " * len(indent)
    if outcome.masqueraded:
        print(f"{blank}   source becomes {story.node}'s own address (masqueraded)")
    elif place:
        print(f"{blank}   source stays {story.sender.address}")


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
