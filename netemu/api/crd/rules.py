"""x-kubernetes-validations: what the CEL rules of a schema say of an object.

A rule on a field is judged when the field is there; one with `oldSelf` only on updates, where the
old value is known: in lists these are the ones of type `map`, by their keys. Rules with functions
that we lack are not judged; whoever writes the definition is told.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netemu.api.kind import Cause

Raw = Mapping[str, Any]
RULES = "x-kubernetes-validations"
_MISSING = object()
_ROOT = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
    },
}
_WORDS = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueInvalid": "Invalid value",
    "FieldValueDuplicate": "Duplicate value",
}


def has_rules(schema: Any) -> bool:
    """Whether there is a rule anywhere; most definitions have none, and CEL takes time to load."""
    if isinstance(schema, Mapping):
        return bool(schema.get(RULES)) or any(map(has_rules, schema.values()))
    return isinstance(schema, list) and any(map(has_rules, schema))


def check(value: Any, old: Any, schema: Raw) -> list[Cause]:
    """All rules that an object breaks; `old` is None when it is new."""
    root = {**schema, "properties": {**(schema.get("properties") or {}), **_ROOT}}
    return list(_check(value, _MISSING if old is None else old, root, ""))


def _check(value: Any, old: Any, schema: Raw, path: str) -> Iterator[Cause]:
    if value is None:
        return
    for rule in schema.get(RULES) or ():
        yield from _judge(rule, value, old, schema, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, inner in value.items():
            below = properties.get(name, more)
            if isinstance(below, Mapping):
                where = f"{path}.{name}" if path else name
                yield from _check(inner, before.get(name, _MISSING), below, where)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        known = {_key(item, keys): item for item in old} if keys and isinstance(old, list) else {}
        for index, item in enumerate(value):
            earlier = known.get(_key(item, keys), _MISSING) if keys else _MISSING
            yield from _check(item, earlier, schema["items"], f"{path}[{index}]")


def _key(item: Any, keys: Any) -> tuple[str, ...]:
    return tuple(repr(item.get(key)) if isinstance(item, dict) else "" for key in keys)


def _judge(rule: Raw, value: Any, old: Any, schema: Raw, path: str) -> Iterator[Cause]:
    from netemu.api.crd import cel

    text = str(rule.get("rule") or "")
    try:
        program = cel.program(text)
        if program.uses_old and old is _MISSING:
            return
        now = cel.value_of(value, schema)
        before = cel.value_of(old, schema) if program.uses_old else None
        if program.evaluate(now, before):
            return
        why = _message(rule, now, before)
    except cel.Unsupported:
        return
    except cel.Broken as error:
        why = f"{error} evaluating rule: {text}"
    reason = str(rule.get("reason") or "FieldValueInvalid")
    where = path + str(rule.get("fieldPath") or "")
    shown = f': "{schema.get("type") or "object"}"' if reason == "FieldValueInvalid" else ""
    yield Cause(where.lstrip("."), reason, f"{_WORDS.get(reason, 'Invalid value')}{shown}: {why}")


def _message(rule: Raw, now: Any, before: Any) -> str:
    from netemu.api.crd import cel

    told = str(rule.get("message") or "").strip() or f"failed rule: {str(rule['rule']).strip()}"
    if not rule.get("messageExpression"):
        return told
    try:
        return str(cel.program(str(rule["messageExpression"])).evaluate(now, before)) or told
    except (cel.Broken, cel.Unsupported):
        return told


def examine(schema: Raw, path: str) -> Iterator[tuple[str, str, bool]]:
    """(path, why, wrong) of each rule that cannot be judged; not `wrong`: it is just not done."""
    from netemu.api.crd import cel

    for index, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{index}]"
        for key in ("rule", "messageExpression"):
            if key == "rule" or rule.get(key):
                try:
                    cel.program(str(rule.get(key) or ""))
                except cel.Unsupported as lacking:
                    yield f"{where}.{key}", f"is not evaluated: no support for {lacking}", False
                except cel.Broken as error:
                    yield f"{where}.{key}", str(error), True
    for name, inner in (schema.get("properties") or {}).items():
        yield from examine(inner, f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from examine(schema[key], f"{path}.{key}")
