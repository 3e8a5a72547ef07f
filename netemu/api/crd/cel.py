"""CEL as CustomResourceDefinitions use it: programs, their values, and Kubernetes' own functions.

https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

Raw = Mapping[str, Any]


class Unsupported(Exception):
    """A function or a piece of syntax that real clusters have, and this does not."""


class Broken(Exception):
    """The expression is wrong, or fails on these values."""


_RESERVED_WORDS = (
    "true false null in as break const continue else for function if import let loop "
    "package namespace return var void while"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escaped(name: str) -> str:
    """A property's name as expressions spell it: `x-y` is `x__dash__y`."""
    if name in _RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda found: _ESCAPES[found[0]], name)


def value_of(value: Any, schema: Raw) -> Any:
    """`value` as CEL sees it: with the schema's types, and no field that it does not declare."""
    if value is None:
        return None
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, (int, float)):
        double = schema.get("type") == "number" or isinstance(value, float)
        return celtypes.DoubleType(value) if double else celtypes.IntType(value)
    if isinstance(value, str):
        return _text(value, str(schema.get("format") or ""))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return celtypes.ListType([value_of(item, items) for item in value])
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    if isinstance(more, Mapping):
        return _map({key: value_of(inner, more) for key, inner in value.items()})
    return _map(
        {
            escaped(key): value_of(inner, properties[key])
            for key, inner in value.items()
            if key in properties
        }
    )


def _map(values: Mapping[str, Any]) -> Any:
    return celtypes.MapType({celtypes.StringType(key): inner for key, inner in values.items()})


def _text(value: str, form: str) -> Any:
    try:
        if form == "date-time":
            return celtypes.TimestampType(value)
        if form == "duration":
            return celtypes.DurationType(value)
    except ValueError:
        pass  # the schema's own check says so
    return celtypes.StringType(value)


# The functions that Kubernetes adds. Values come in as CEL's types, which are Python's.


def _split(text: str, by: str, most: int = -1) -> Any:
    parts = list(text) if not by else text.split(by, max(most - 1, 0) if most > 0 else -1)
    return celtypes.ListType([celtypes.StringType(part) for part in (parts if most else ())])


def _replace(text: str, old: str, new: str, most: int = -1) -> Any:
    return celtypes.StringType(text.replace(old, new, int(most)))


def _substring(text: str, start: int, end: int | None = None) -> Any:
    stop = len(text) if end is None else int(end)
    if not 0 <= start <= stop <= len(text):
        raise CELEvalError("substring: index out of range")
    return celtypes.StringType(text[int(start) : stop])


def _char_at(text: str, at: int) -> Any:
    return _substring(text, at, min(int(at) + 1, len(text)))


def _join(parts: Any, by: str = "") -> Any:
    return celtypes.StringType(by.join(parts))


def _find(text: str, pattern: str) -> Any:
    found = re.search(pattern, text)
    return celtypes.StringType(found[0] if found else "")


def _find_all(text: str, pattern: str, most: int = -1) -> Any:
    found = [celtypes.StringType(each[0]) for each in re.finditer(pattern, text)]
    return celtypes.ListType(found if most < 0 else found[: int(most)])


def _is_sorted(values: Any) -> Any:
    return celtypes.BoolType(all(a <= b for a, b in zip(values, values[1:], strict=False)))


def _extreme(choose: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def pick(values: Any) -> Any:
        if not values:
            raise CELEvalError(f"{choose.__name__} called on empty list")
        return choose(values)

    return pick


def _index(values: Any, wanted: Any) -> Any:
    if isinstance(values, str):
        return celtypes.IntType(values.find(wanted))
    return celtypes.IntType(values.index(wanted) if wanted in values else -1)


def _last_index(values: Any, wanted: Any) -> Any:
    if isinstance(values, str):
        return celtypes.IntType(values.rfind(wanted))
    found = [at for at, each in enumerate(values) if each == wanted]
    return celtypes.IntType(found[-1] if found else -1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "join": _join,
    "replace": _replace,
    "substring": _substring,
    "charAt": _char_at,
    "trim": lambda text: celtypes.StringType(text.strip()),
    "lowerAscii": lambda text: celtypes.StringType(text.lower()),
    "upperAscii": lambda text: celtypes.StringType(text.upper()),
    "find": _find,
    "findAll": _find_all,
    "indexOf": _index,
    "lastIndexOf": _last_index,
    "isSorted": _is_sorted,
    "min": _extreme(min),
    "max": _extreme(max),
    "sum": lambda values: sum(values, start=type(values[0])(0)) if values else celtypes.IntType(0),
}

_STANDARD_WORDS = (
    "size matches startsWith endsWith contains has all exists exists_one map filter int "
    "uint double string bytes bool type dyn duration timestamp getDate getDayOfMonth "
    "getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth "
    "getSeconds"
)
_STANDARD = frozenset(_STANDARD_WORDS.split())
_OPTIONAL = re.compile(r"\.\?|\[\?|\boptional\.")
_CALLS = ("member_dot_arg", "ident_arg", "dot_ident_arg")


class Program:
    """A compiled expression. `uses_old`: whether it compares with `oldSelf`."""

    def __init__(self, text: str) -> None:
        if _OPTIONAL.search(text):
            raise Unsupported("optional values")
        environment = _environment()
        try:
            tree = environment.compile(text)
        except CELParseError as error:
            raise Broken(f"compilation failed: {str(error).strip()}") from error
        called = {
            str(token)
            for part in tree.iter_subtrees()
            if part.data in _CALLS
            for token in part.children
            if getattr(token, "type", "") == "IDENT"
        }
        unknown = sorted(called - _STANDARD - FUNCTIONS.keys())
        if unknown:
            raise Unsupported(f"function {', '.join(unknown)}")
        names = tree.scan_values(lambda token: getattr(token, "type", "") == "IDENT")
        self.uses_old = "oldSelf" in {str(name) for name in names}
        self._program = environment.program(tree, functions=FUNCTIONS)

    def evaluate(self, value: Any, old: Any = None) -> Any:
        """What it says of CEL values; Broken when it fails on them."""
        context: dict[str, Any] = {"self": value}
        if self.uses_old:
            context["oldSelf"] = old
        try:
            return self._program.evaluate(context)
        except (CELEvalError, TypeError, ValueError, KeyError, IndexError, re.error) as error:
            why = error.args[0] if error.args else error
            raise Broken(str(why).partition(" (in activation")[0].strip("(\"'")) from error


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


@lru_cache(maxsize=4096)
def program(text: str) -> Program:
    """The program of an expression; Broken or Unsupported when there can be none."""
    return Program(text)
