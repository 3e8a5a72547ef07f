"""Apply a configuration: merge it, drop what its manager no longer wants, detect conflicts.

https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/merge/update.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from netemu.api.kind import Kind, Object
from netemu.api.managedfields.books import (
    UNOWNED,
    Owner,
    of_object,
    read,
    take_away,
    write,
)
from netemu.api.managedfields.compare import (
    applied,
    compare,
    element_key,
    elements,
    field_node,
    granular,
)
from netemu.api.managedfields.sets import FieldSet, intersection, is_member, paths, union, without
from netemu.api.schema import Node, check, of_kind
from netemu.errors import ApiError


def apply(
    kind: Kind,
    live: Object | None,
    config: Object,
    *,
    manager: str,
    now: str,
    force: bool = False,
    subresource: str = "",
    ignored: FieldSet | None = None,
) -> Object:
    """The object after `manager` applied `config`; `live` is None when there is none yet.

    The result has its managedFields and shares parts with its sources; defaults and validation
    come after. `ignored` are fields that this endpoint resets (`{"f:status": {}}`).
    ApiError Conflict when others own a field with another value, unless `force`; BadRequest when
    the configuration does not fit the schema.
    """
    config = _checked(kind, config)
    node = of_kind(kind)
    bare = without_books(live or {})
    wanted = without(applied(config, node), union(UNOWNED, ignored or {}))
    owners = read(of_object(live or {}))
    mine = Owner(manager, "Apply", kind.api_version, subresource, now, wanted)
    last = next((owner for owner in owners if owner.identity == mine.identity), None)
    merged = merge(bare, config, node)
    if last is not None:
        owned: FieldSet = wanted
        for owner in owners:
            if owner.identity != mine.identity:
                owned = union(owned, owner.fields)
        merged = prune(merged, node, last.fields, owned)
    changed, removed = compare(bare, merged, node)
    changed = without(changed, UNOWNED)
    if not force:
        _check_conflicts(owners, mine, changed)
    kept = take_away(owners, mine.identity, changed, removed)
    if last is not None and last.fields == wanted and last.api_version == mine.api_version:
        mine = replace(mine, time=last.time)
    kept = [owner for owner in kept if owner.identity != mine.identity]
    metadata = {**(merged.get("metadata") or {})}
    metadata["managedFields"] = write([*kept, mine] if wanted else kept)
    result: Object = {**merged, "metadata": metadata}
    return result


def without_books(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _checked(kind: Kind, config: Object) -> Object:
    """The configuration without nulls and empty values, which say nothing."""
    if of_object(config):
        raise ApiError("BadRequest", "metadata.managedFields must be nil")
    checked = check(kind, config)
    if checked.ok:
        return checked.clean
    problems = list(checked.errors)
    problems += [f".{path}: field not declared in schema" for path in checked.unknown]
    name = (config.get("metadata") or {}).get("name", "")
    space = (config.get("metadata") or {}).get("namespace", "")
    what = f"{space}/{name}; {kind.group}/{kind.version}"
    message = f"failed to create typed patch object ({what}, Kind={kind.kind}): "
    raise ApiError("BadRequest", message + "; ".join(problems))


def merge(live: Any, config: Any, node: Node) -> Any:
    """`live` with what `config` says; atomic values are replaced."""
    if live is None or not granular(node, config) or live.__class__ is not config.__class__:
        return config
    if isinstance(config, dict):
        merged = dict(live)
        for key, value in config.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(live.get(key), value, field_node(node, key))
        return merged
    before, after = elements(node, live), elements(node, config)
    if len(after) != len(config):
        raise ApiError("BadRequest", f"duplicate entries for keys {list(node.keys)} in the list")
    both = {
        key: merge(before.get(key), item, node.element) if key in before else item
        for key, item in after.items()
    }
    return _interleaved(before, both)


def _interleaved(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Any]:
    """Elements of `wanted` in its order; those only live come as early as their order allows."""
    order = list(live)
    placed: list[Any] = []
    done: set[str] = set()
    position = 0
    for key, item in wanted.items():
        while position < len(order):
            candidate = order[position]
            if candidate not in wanted:
                placed.append(live[candidate])
            elif candidate not in done:
                break
            position += 1
        placed.append(item)
        done.add(key)
    return placed + [live[key] for key in order[position:] if key not in wanted]


def prune(value: Any, node: Node, last: FieldSet, owned: FieldSet) -> Any:
    """`value` without what was in `last`, the former configuration, and nobody owns any more."""
    if isinstance(value, dict):
        return _prune_map(value, node, last, owned)
    kept = []
    for item in value:
        key = element_key(node, item)
        before, now = last.get(key), owned.get(key)
        if before is None:
            kept.append(item)
        elif now is not None and is_member(now):
            inner = granular(node.element, item)
            kept.append(prune(item, node.element, before, now) if inner else item)
        elif not is_member(before):
            kept.append(item)
    return kept


def _prune_map(
    value: dict[str, Any], node: Node, last: FieldSet, owned: FieldSet
) -> dict[str, Any]:
    kept = {}
    for key, inner in value.items():
        before, now = last.get("f:" + key), owned.get("f:" + key)
        if before is None:
            kept[key] = inner
            continue
        field = field_node(node, key)
        if inner and granular(field, inner):
            left = prune(inner, field, before, now or {})
            if left or now is not None:
                kept[key] = left
        elif now is not None:
            kept[key] = inner
    return kept


def _check_conflicts(owners: Sequence[Owner], mine: Owner, changed: FieldSet) -> None:
    conflicts = [
        (owner, path)
        for owner in owners
        if owner.identity != mine.identity
        for path in paths(intersection(owner.fields, changed))
    ]
    if not conflicts:
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_named(owner)}",
            "field": path,
        }
        for owner, path in conflicts
    ]
    message = _conflict_message(conflicts)
    raise ApiError("Conflict", message, details={"causes": causes})


def _named(owner: Owner) -> str:
    text = f'"{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    if owner.operation == "Update":
        text += f" using {owner.api_version}" + (f" at {owner.time}" if owner.time else "")
    return text


def _conflict_message(conflicts: Sequence[tuple[Owner, str]]) -> str:
    if len(conflicts) == 1:
        owner, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {_named(owner)}: {path}"
    lines = []
    for named in sorted({_named(owner) for owner, _ in conflicts}):
        lines.append(f"conflicts with {named}:")
        lines += [f"- {path}" for owner, path in conflicts if _named(owner) == named]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
