"""The part of JSONPath that printer columns, selectable fields and scale paths use.

`.a.b`, `['a.b']`, `.a\\.b`, `[0]`, `[*]`, `[?(@.type=="Ready")]`. kubectl's templates are more.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.?\[\?\(\s*@(?P<path>[^=!<>~\s]*)\s*(?P<operator>==|!=)\s*(?P<literal>[^)]*?)\s*\)\]
      | \.?\[(?P<index>-?\d+)\]
      | \.?\[(?P<all>\*)\]
      | \.?\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]
      | \.(?P<every>\*)
      | \.(?P<name>(?:[^.\[\]\\]|\\.)+)""",
    re.VERBOSE,
)


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[tuple[str, Any], ...]:
    """ValueError when the path cannot be read."""
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.removeprefix("$")
    if text and text[0] not in ".[":
        text = "." + text
    steps: list[tuple[str, Any]] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise ValueError(f"cannot read the JSONPath {path!r} at {text[position:]!r}")
        steps.append(_step(found))
        position = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> tuple[str, Any]:
    if found["operator"]:
        return "filter", (_steps(found["path"]), found["operator"], _literal(found["literal"]))
    if found["index"] is not None:
        return "index", int(found["index"])
    if found["all"] or found["every"]:
        return "all", None
    if found["quoted"] is not None:
        return "name", found["quoted"]
    return "name", re.sub(r"\\(.)", r"\1", found["name"])


def _literal(text: str) -> Any:
    if text[:1] in "'\"" and len(text) > 1:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_valid(path: str) -> bool:
    try:
        _steps(path)
    except ValueError:
        return False
    return True


def find(path: str, obj: Any) -> list[Any]:
    """All values that the path leads to. ValueError when the path cannot be read."""
    return _walk(_steps(path), [obj])


def first(path: str, obj: Any) -> Any:
    """The first value, or None."""
    found = find(path, obj)
    return found[0] if found else None


def _walk(steps: tuple[tuple[str, Any], ...], values: list[Any]) -> list[Any]:
    for kind, argument in steps:
        reached: list[Any] = []
        for value in values:
            match kind:
                case "name":
                    if isinstance(value, dict) and argument in value:
                        reached.append(value[argument])
                case "index":
                    if isinstance(value, list) and -len(value) <= argument < len(value):
                        reached.append(value[argument])
                case "all":
                    items = value.values() if isinstance(value, dict) else value
                    reached += items if isinstance(value, (dict, list)) else []
                case "filter":
                    inner, operator, literal = argument
                    for item in value if isinstance(value, list) else ():
                        equal = literal in _walk(inner, [item])
                        if equal is (operator == "=="):
                            reached.append(item)
        values = reached
    return values


def text(value: Any) -> str:
    """A found value as it is printed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    return str(value)
