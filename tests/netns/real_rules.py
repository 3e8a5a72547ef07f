"""What the iptables rules of a proxy come to, whatever their layout: to compare ours with others.

kube-proxy's chains were split and joined over the years: KUBE-XLB became KUBE-EXT and KUBE-SVL,
marks for dropping became rules in filter. So every jump is followed, and what is left of each path
is its matches and what it does: mark for masquerading, DNAT, REJECT, DROP. Paths to one place keep
their order; places have none.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence

from netemu.netstate.iptables import parse
from netemu.node import netns
from real_proxy import API_KEY, BARRIER_KEY

Match = frozenset[str]
Paths = dict[str, list[str]]

_ENDS = {"KUBE-MARK-MASQ": "masquerade", "KUBE-MARK-DROP": "DROP"}
"""Chains that are taken for what they stand for."""
_STARTS = (
    ("nat", "KUBE-SERVICES"),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-PROXY-FIREWALL"),
)
_PLACE = ("-d ", "-p ", "--dport ", "--dst-type ")


async def observe(path: str) -> Paths:
    """Place (destination, protocol, port) -> what happens there, in order."""
    saved = (await netns.run(path, ["iptables-save"])).decode()
    tables = parse("\n".join(x for x in saved.splitlines() if not _is_left_out(x)))
    found: Paths = {}
    for table, chain in _STARTS:
        for match, action in _follow(tables[table], chain, frozenset()):
            place = frozenset(each for each in match if each.startswith(_PLACE))
            _add(found.setdefault(_text(place), []), _text(match - place), action)
    return found


def differences(wanted: Paths, found: Paths) -> list[str]:
    """Unified, a text for each place; `-` is what is wanted."""
    return [
        "\n".join([place, *difflib.ndiff(wanted.get(place, []), found.get(place, []))])
        for place in sorted(wanted.keys() | found.keys())
        if wanted.get(place) != found.get(place)
    ]


def _is_left_out(line: str) -> bool:
    """Rules of other Services; and a mark for loopback's clients, which later ones get as local."""
    if line.startswith("-A KUBE-NODEPORTS -s 127.0.0.0/8 ") and line.endswith("KUBE-MARK-MASQ"):
        return True
    return any(f'"{key}{end}' in line for key in (API_KEY, BARRIER_KEY) for end in (" ", '"'))


def _add(actions: list[str], match: str, action: str) -> None:
    """What stands behind an unconditional verdict is never reached."""
    done = actions and actions[-1].startswith("always ") and actions[-1] != "always masquerade"
    line = f"{match or 'always'} {action}"
    if not done and line not in actions:
        actions.append(line)


def _follow(
    chains: Mapping[str, Sequence[str]], chain: str, so_far: Match
) -> Iterator[tuple[Match, str]]:
    for rule in chains.get(chain, ()):
        more, action = _parts(rule)
        match = so_far | more
        if not action or _contradicts(match):
            continue
        if action in chains and action not in _ENDS:
            yield from _follow(chains, action, match)
        else:
            yield match, _ENDS.get(action, action)


def _parts(rule: str) -> tuple[Match, str]:
    """(matches, action) of a rule; comments and how a refusal is worded are left out."""
    options, action = [], ""
    words = shlex.split(rule)
    at = 0
    while at < len(words):
        start = at
        at += 1 + (words[at] == "!")
        while at < len(words) and not words[at].startswith("-") and words[at] != "!":
            at += 1
        option = " ".join(words[start:at])
        if option.startswith("-j "):
            action = option.removeprefix("-j ")
        elif option.startswith("--to-destination "):
            action = f"DNAT {option.removeprefix('--to-destination ')}"
        elif not option.startswith(("-m ", "--comment ", "--reject-with ")):
            options.append(option)
    return frozenset(options), action


def _contradicts(match: Match) -> bool:
    """Two destinations, or a source that is not itself."""
    several = any(len([x for x in match if x.startswith(o)]) > 1 for o in ("-d ", "--dport "))
    return several or any(f"! {each}" in match for each in match)


def _text(match: Match) -> str:
    return " ".join(sorted(match))
