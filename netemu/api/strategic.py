"""Strategic merge patch: a merge patch that knows lists by their keys.

Directives: `$patch: delete|replace|merge`, `$retainKeys`, `$setElementOrder/FIELD`,
`$deleteFromPrimitiveList/FIELD`. Which lists merge, and by which key, is the schema's patch
metadata. Custom resources have none: for them the server answers 415.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Kind, Object
from netemu.api.schema import Node, of_kind
from netemu.api.schema.node import OPEN
from netemu.errors import ApiError

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def apply(obj: Object, patch: Any, kind: Kind) -> Object:
    """`obj` with the strategic merge patch applied. Neither is changed; parts may be shared.

    ApiError BadRequest when the patch is malformed, UnsupportedMediaType for custom resources.
    """
    if kind.open_api is not None:
        raise ApiError(
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/apply-patch+yaml",
        )
    if not isinstance(patch, dict):
        raise ApiError("BadRequest", "a strategic merge patch must be an object")
    return _merge_map(obj, patch, of_kind(kind))


def _merge_map(original: dict[str, Any], patch: dict[str, Any], node: Node) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive is not None:
        rest = {key: value for key, value in patch.items() if key != _PATCH}
        if directive == "replace":
            return rest
        if directive == "delete":
            return {}
        if directive != "merge":
            raise _bad(f"Unknown patch type found: {directive} is not in valid patch types")
        patch = rest
    merged = _retain(original, patch)
    done = _apply_orders(merged, patch, node)
    for key, value in patch.items():
        if key in done or key == _RETAIN or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE):
            _delete_primitives(merged, key.removeprefix(_DELETE), value)
        elif value is None:
            merged.pop(key, None)
        elif key not in merged or merged[key] is None:
            merged[key] = _without_directives(value)
        else:
            merged[key] = _merge_field(merged[key], value, _field(node, key))
    return merged


def _field(node: Node, key: str) -> Node:
    if node.shape == "struct":
        return node.fields.get(key, OPEN)
    return node.element if node.shape == "map" else OPEN


def _merge_field(original: Any, value: Any, field: Node) -> Any:
    if isinstance(original, dict) and isinstance(value, dict):
        if "replace" in field.strategies:
            return _without_directives(value)
        return _merge_map(original, value, field)
    if isinstance(original, list) and isinstance(value, list) and "merge" in field.strategies:
        return _merge_list(original, value, field)
    return _without_directives(value)


def _retain(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A copy of `original`, of which only the retained keys are left where the patch says so."""
    if _RETAIN not in patch:
        return dict(original)
    kept = patch[_RETAIN]
    if not isinstance(kept, list):
        raise _bad(f"invalid {_RETAIN} directive: it must be a list")
    for key in patch:
        if not key.startswith("$") and key not in kept:
            raise _bad(f"{_RETAIN} list doesn't contain the field of the patch: {key}")
    return {key: value for key, value in original.items() if key in kept}


def _apply_orders(merged: dict[str, Any], patch: dict[str, Any], node: Node) -> set[str]:
    """Merge the lists that come with an order, in place; returns their names."""
    done: set[str] = set()
    for key, order in patch.items():
        if not key.startswith(_ORDER):
            continue
        name = key.removeprefix(_ORDER)
        field = _field(node, name)
        if not isinstance(order, list):
            raise _bad(f"invalid {key} directive: it must be a list")
        original, change = merged.get(name), patch.get(name)
        removed = patch.get(_DELETE + name)
        if removed is not None:
            _delete_primitives(merged, name, removed)
            original = merged.get(name)
        if isinstance(original, list) and isinstance(change, list):
            items = _merge_list(original, change, field)
        elif isinstance(change, list):
            items = _without_directives(change)
        elif isinstance(original, list) and name not in patch:
            items = original
        else:
            continue
        merged[name] = _in_order(items, order, original or [], field.merge_key)
        done |= {name, _DELETE + name}
    return done


def _delete_primitives(merged: dict[str, Any], name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise _bad(f"invalid {_DELETE}{name} directive: it must be a list")
    found = merged.get(name)
    if isinstance(found, list):
        merged[name] = [item for item in found if item not in values]


def _merge_list(original: list[Any], patch: list[Any], field: Node) -> list[Any]:
    if not original and not patch:
        return original
    if not isinstance((original or patch)[0], dict):
        both = [*original, *patch]
        items = [item for index, item in enumerate(both) if item not in both[:index]]
        return _in_order(items, patch, original, "")
    if not field.merge_key:
        raise _bad("cannot merge lists without merge key")
    original, patch = _apply_list_directives(original, patch, field.merge_key)
    items = list(original)
    for change in patch:
        wanted = _key_of(change, field.merge_key)
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get(field.merge_key) == wanted:
                items[index] = _merge_map(item, change, field.element)
                break
        else:
            items.append(_without_directives(change))
    return _in_order(items, patch, original, field.merge_key)


def _apply_list_directives(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any]]:
    """Carry out `$patch: delete` and `$patch: replace` elements; returns what is left of both."""
    plain: list[Any] = []
    replace = False
    for change in patch:
        if not isinstance(change, dict):
            raise _bad("a patch of a list of objects must have objects only")
        directive = change.get(_PATCH)
        if directive is None:
            plain.append(change)
        elif directive == "delete":
            wanted = _key_of(change, merge_key)
            original = [item for item in original if item.get(merge_key) != wanted]
        elif directive == "replace":
            replace = True
            rest = {key: value for key, value in change.items() if key != _PATCH}
            plain += [rest] if rest else []
        else:
            raise _bad(f"unknown patch type found in a list: {directive}")
    return ([] if replace else original), plain


def _key_of(item: dict[str, Any], merge_key: str) -> Any:
    if item.get(merge_key) is None:
        shown = " ".join(f"{key}:{value}" for key, value in sorted(item.items()))
        message = f"map: map[{shown}] does not contain declared merge key: {merge_key}"
        raise ApiError("BadRequest", message)
    return item[merge_key]


def _in_order(items: list[Any], order: list[Any], live: list[Any], merge_key: str) -> list[Any]:
    """Items of the patch in its order; the others keep their place among them as it was live."""

    def identity(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    before = [identity(item) for item in live]
    named = [item for item in items if identity(item) in wanted]
    named.sort(key=lambda item: wanted.index(identity(item)))
    others = [item for item in items if identity(item) not in wanted]
    placed: list[Any] = []
    for item in named:
        while others and _precedes(identity(others[0]), identity(item), before):
            placed.append(others.pop(0))
        placed.append(item)
    return placed + others


def _precedes(left: Any, right: Any, live: list[Any]) -> bool:
    return left in live and right in live and live.index(left) < live.index(right)


def _without_directives(value: Any) -> Any:
    """A value that enters the object as it is, without what only steers the patch."""
    if isinstance(value, dict):
        return {
            key: _without_directives(inner)
            for key, inner in value.items()
            if inner is not None and not _is_directive(key)
        }
    if isinstance(value, list):
        kept = (
            item for item in value if not (isinstance(item, dict) and item.get(_PATCH) == "delete")
        )
        return [_without_directives(item) for item in kept]
    return value


def _is_directive(key: str) -> bool:
    return key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _bad(why: str) -> ApiError:
    return ApiError("BadRequest", f"invalid strategic merge patch: {why}")
