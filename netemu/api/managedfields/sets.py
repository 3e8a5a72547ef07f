"""Sets of field paths, as FieldsV1 has them: a trie of dictionaries.

A key is `f:NAME` (a field), `k:{KEYS}` (an element of a list map), `v:VALUE` (of a list set). An
empty child says that the path itself is in the set; a child with `.` that it is, and paths below
it too; any other child that only paths below it are.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

FieldSet = dict[str, Any]


def is_member(child: FieldSet) -> bool:
    return not child or "." in child


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """A new set with the paths of both; parts may be shared."""
    if not left or not right:
        return left or right
    both = dict(left)
    for key, child in right.items():
        if key == ".":
            continue
        mine = both.get(key)
        both[key] = child if mine is None else _union_child(mine, child)
    return both


def _union_child(left: FieldSet, right: FieldSet) -> FieldSet:
    if left == right:
        return left
    below = union(_below(left), _below(right))
    if not (is_member(left) or is_member(right)):
        return below
    return {".": {}, **below} if below else {}


def _below(child: FieldSet) -> FieldSet:
    if "." not in child:
        return child
    return {key: inner for key, inner in child.items() if key != "."}


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths of `left` that are not in `right`."""
    if not right:
        return left
    kept = {}
    for key, child in left.items():
        if key == ".":
            continue
        other = right.get(key)
        rest = child if other is None else _difference_child(child, other)
        if rest is not None:
            kept[key] = rest
    return kept


def _difference_child(left: FieldSet, right: FieldSet) -> FieldSet | None:
    member = is_member(left) and not is_member(right)
    below = difference(_below(left), _below(right))
    if member:
        return {".": {}, **below} if below else {}
    return below or None


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths that are in both."""
    both = {}
    for key, child in left.items():
        other = right.get(key)
        if key == "." or other is None:
            continue
        member = is_member(child) and is_member(other)
        below = intersection(_below(child), _below(other))
        if member:
            both[key] = {".": {}, **below} if below else {}
        elif below:
            both[key] = below
    return both


def without(fields: FieldSet, ignored: FieldSet) -> FieldSet:
    """`fields` without the members of `ignored` and all that is below them."""
    kept = {}
    for key, child in fields.items():
        other = ignored.get(key)
        if other is None:
            kept[key] = child
        elif not is_member(other):
            member, below = is_member(child), without(_below(child), other)
            if below:
                kept[key] = {".": {}, **below} if member else below
            elif member:
                kept[key] = {}
    return kept


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The members as people read them, `.spec.containers[name="nginx"].image`, in upstream's order:
    at each level the members, then what is below."""
    steps = [(prefix + _step(key), fields[key]) for key in sorted(fields) if key != "."]
    yield from (here for here, child in steps if is_member(child))
    for here, child in steps:
        yield from paths(child, here)


def _step(key: str) -> str:
    kind, text = key[:2], key[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys = json.loads(text).items()
        return f"[{','.join(f'{key}={json.dumps(value)}' for key, value in keys)}]"
    return f"[={text}]"
