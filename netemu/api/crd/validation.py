"""Rules of a structural schema, in the words of the real server; those in CEL are in `rules`.

https://github.com/kubernetes/apiextensions-apiserver/blob/master/pkg/apiserver/validation/validation.go
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from netemu.api import names
from netemu.api.invalid import (
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from netemu.api.kind import Cause
from netemu.api.managedfields.compare import element_key
from netemu.api.schema import compile_schema

Raw = Mapping[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)").fullmatch
_FORMATS: dict[str, Callable[[str], object]] = {
    "date-time": lambda text: _DATE_TIME(text) is not None,
    "date": re.compile(r"\d{4}-\d\d-\d\d").fullmatch,
    "ipv4": lambda text: names.ip_version(text) == 4,
    "ipv6": lambda text: names.ip_version(text) == 6,
    "cidr": lambda text: not names.cidr(text),
    "uuid": re.compile(
        r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
    ).fullmatch,
    "byte": re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch,
}


def check(value: Any, schema: Raw, path: str = "") -> list[Cause]:
    """All that is wrong with `value`; at the top, `path` is empty and metadata is left alone."""
    return list(_check(value, schema, path))


def _check(value: Any, schema: Raw, path: str) -> Iterator[Cause]:
    if value is None:
        if not schema.get("nullable") and schema.get("type"):
            yield _mistyped(value, schema, path)
        return
    if not _has_type(value, schema):
        yield _mistyped(value, schema, path)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield _not_in_enum(value, schema["enum"], path)
    if isinstance(value, str):
        yield from _check_string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    elif isinstance(value, list):
        yield from _check_list(value, schema, path)
    elif isinstance(value, dict):
        yield from _check_object(value, schema, path)
    yield from _check_combinations(value, schema, path)


def _has_type(value: Any, schema: Raw) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    wanted = schema.get("type")
    if not wanted or wanted not in _TYPES:
        return True
    if isinstance(value, bool):
        return bool(wanted == "boolean")
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])


def _mistyped(value: Any, schema: Raw, path: str) -> Cause:
    wanted = schema.get("type") or "integer,string"
    given = (
        "null"
        if value is None
        else next(
            name
            for name, types in _TYPES.items()
            if isinstance(value, types) and (name == "boolean" or not isinstance(value, bool))
        )
    )
    return type_invalid(path, given, f'{_in_body(path)} must be of type {wanted}: "{given}"')


def _in_body(path: str) -> str:
    return f"{path} in body" if path else "in body"


def _not_in_enum(value: Any, choices: list[Any], path: str) -> Cause:
    texts = [choice if isinstance(choice, str) else json.dumps(choice) for choice in choices]
    return not_supported(path, value, texts)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str] | None:
    """None for a pattern that only Go's RE2 understands: it is not enforced."""
    try:
        return re.compile(text)
    except re.error:
        return None


def _check_string(value: str, schema: Raw, path: str) -> Iterator[Cause]:
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if longest is not None and len(value) > longest:
        yield too_long(path, longest)
    if shortest is not None and len(value) < shortest:
        message = f"{_in_body(path)} should be at least {shortest} chars long"
        yield invalid(path, value, message)
    pattern = schema.get("pattern")
    compiled = _pattern(pattern) if pattern else None
    if compiled is not None and not compiled.search(value):
        yield invalid(path, value, f"{_in_body(path)} should match '{pattern}'")
    known = _FORMATS.get(schema.get("format") or "")
    if known is not None and not known(value):
        shape = schema["format"]
        message = f'{_in_body(path)} must be of type {shape}: "{value}"'
        yield invalid(path, value, message)


def _check_number(value: float, schema: Raw, path: str) -> Iterator[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        above = bool(schema.get("exclusiveMinimum"))
        if value < low or (above and value == low):
            word = "than" if above else "than or equal to"
            yield invalid(path, value, f"{_in_body(path)} should be greater {word} {low}")
    if high is not None:
        below = bool(schema.get("exclusiveMaximum"))
        if value > high or (below and value == high):
            word = "than" if below else "than or equal to"
            yield invalid(path, value, f"{_in_body(path)} should be less {word} {high}")
    factor = schema.get("multipleOf")
    if factor and value % factor:
        yield invalid(path, value, f"{_in_body(path)} should be a multiple of {factor}")


def _check_list(value: list[Any], schema: Raw, path: str) -> Iterator[Cause]:
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if fewest is not None and len(value) < fewest:
        message = f"{_in_body(path)} should have at least {fewest} items"
        yield invalid(path, value, message)
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            yield from _check(item, items, f"{path}[{index}]")
    if schema.get("uniqueItems") or schema.get("x-kubernetes-list-type") in ("set", "map"):
        yield from _check_unique(value, schema, path)


def _check_unique(value: list[Any], schema: Raw, path: str) -> Iterator[Cause]:
    node = compile_schema(schema, lambda name: {})
    seen: set[str] = set()
    for index, item in enumerate(value):
        key = element_key(node, item)
        if key in seen:
            yield duplicate(f"{path}[{index}]", item)
        seen.add(key)


def _check_object(value: dict[str, Any], schema: Raw, path: str) -> Iterator[Cause]:
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if fewest is not None and len(value) < fewest:
        message = f"{_in_body(path)} should have at least {fewest} properties"
        yield invalid(path, value, message)
    for name in schema.get("required") or ():
        if name not in value:
            yield required(_join(path, name))
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for name, inner in value.items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        if name in properties:
            yield from _check(inner, properties[name], _join(path, name))
        elif isinstance(additional, Mapping):
            yield from _check(inner, additional, _join(path, name))


def _check_combinations(value: Any, schema: Raw, path: str) -> Iterator[Cause]:
    shown = f'"{path}"' if path else '"<nil>"'
    for inner in schema.get("allOf") or ():
        yield from _check(value, inner, path)
    choices = schema.get("anyOf")
    if choices and not any(not check(value, inner, path) for inner in choices):
        message = f"{shown} must validate at least one schema (anyOf)"
        yield invalid(path, "", message)
    choices = schema.get("oneOf")
    if choices:
        valid = sum(not check(value, inner, path) for inner in choices)
        if valid != 1:
            found = "none valid" if valid == 0 else f"{valid} valid alternatives"
            message = f"{shown} must validate one and only one schema (oneOf). Found {found}"
            yield invalid(path, "", message)
    refused = schema.get("not")
    if refused and not check(value, refused, path):
        yield invalid(path, "", f"{shown} must not validate the schema (not)")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
