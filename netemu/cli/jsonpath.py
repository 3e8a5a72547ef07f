"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, `{range}…{end}`, filters, slices.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from netemu.cli.failures import CommandFailed

Step = Callable[[list[Any], Any], list[Any]]
"""Values so far and the root (`$`) to the values one step further."""

_TOKEN = re.compile(
    r"""
    (?P<deep>\.\.)
  | \.?(?P<star>\*)
  | \.(?P<field>(?:[^.\[\]\s{}'"\\]|\\.)+)
  | (?P<bare>^(?:[^.\[\]\s{}'"\\@$]|\\.)+)
  | \[\s*(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*\]
  | \[\s*\?\((?P<filter>.*?)\)\s*\]
  | \[\s*(?P<slice>[-\d:*,\s]+)\s*\]
  | (?P<root>[@$])
  | (?P<dot>\.)
    """,
    re.VERBOSE,
)
_COMPARE = re.compile(r"^\s*(?P<left>.+?)\s*(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*$")


class Template:
    """A parsed template; `render` gives its text for one object."""

    def __init__(self, text: str) -> None:
        self._nodes = _parse(_split(text), text)

    def render(self, obj: Any) -> str:
        return "".join(_render(self._nodes, obj, obj))


def find(path: str, obj: Any) -> list[Any]:
    """All values at `path` (`.metadata.name`, with or without braces and leading dot)."""
    bare = path.strip()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    return _walk(_steps(bare.strip()), obj, obj)


def text_of(value: Any) -> str:
    """As kubectl prints it: strings bare, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or not isinstance(value, int | float):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return str(value)


def _split(text: str) -> Iterator[tuple[str, str]]:
    """("text", …) and ("code", …) pieces; braces inside quotes don't count."""
    position = 0
    while position < len(text):
        opening = text.find("{", position)
        if opening < 0:
            yield "text", text[position:]
            return
        if opening > position:
            yield "text", text[position:opening]
        closing = _closing(text, opening)
        yield "code", text[opening + 1 : closing].strip()
        position = closing + 1


def _closing(text: str, opening: int) -> int:
    quote = ""
    for index in range(opening + 1, len(text)):
        char = text[index]
        if quote:
            if char == quote and text[index - 1] != "\\":
                quote = ""
        elif char in "\"'":
            quote = char
        elif char == "}":
            return index
    raise CommandFailed(f"error parsing jsonpath {text}, unclosed action", exit_code=2)


Node = tuple[str, Any]


def _parse(pieces: Iterator[tuple[str, str]], text: str) -> list[Node]:
    stack: list[list[Node]] = [[]]
    for kind, piece in pieces:
        if kind == "text":
            stack[-1].append(("text", piece))
        elif piece.startswith("range"):
            stack[-1].append(("range", (_steps(piece[5:].strip()), [])))
            stack.append(stack[-1][-1][1][1])
        elif piece == "end":
            if len(stack) == 1:
                raise CommandFailed(f"error parsing jsonpath {text}, not in range", exit_code=2)
            stack.pop()
        elif piece[:1] in "\"'" and piece:
            stack[-1].append(("text", _unquote(piece)))
        else:
            stack[-1].append(("path", _steps(piece)))
    if len(stack) > 1:
        raise CommandFailed(f"error parsing jsonpath {text}, unclosed range", exit_code=2)
    return stack[0]


def _render(nodes: list[Node], current: Any, root: Any) -> Iterator[str]:
    for kind, payload in nodes:
        if kind == "text":
            yield payload
        elif kind == "path":
            yield " ".join(text_of(value) for value in _walk(payload, current, root))
        else:
            steps, body = payload
            for value in _walk(steps, current, root):
                yield from _render(body, value, root)


def _walk(steps: list[Step], current: Any, root: Any) -> list[Any]:
    values = [current]
    for step in steps:
        values = step(values, root)
    return values


def _steps(path: str) -> list[Step]:
    steps: list[Step] = []
    position = 0
    deep = False
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None or match.end() == position:
            raise CommandFailed(
                f"error parsing jsonpath {{{path}}}: unrecognized character at {path[position:]!r}",
                exit_code=2,
            )
        position = match.end()
        if match["deep"]:
            deep = True
            position -= 1 if path[position : position + 1] not in ("*", "[") else 0
            continue
        step = _step(match)
        if step is not None:
            steps.append(_deeply(step) if deep else step)
            deep = False
    return steps


def _step(match: re.Match[str]) -> Step | None:
    if match["star"]:
        return _all
    name = match["field"] or match["bare"]
    if name:
        return _field(re.sub(r"\\(.)", r"\1", name))
    if match["quoted"]:
        return _field(_unquote(match["quoted"]))
    if match["filter"] is not None:
        return _filter(match["filter"])
    if match["slice"]:
        return _slice(match["slice"].strip())
    if match["root"] == "$":
        return lambda values, root: [root]
    return None


def _field(name: str) -> Step:
    return lambda values, root: [
        value[name] for value in values if isinstance(value, dict) and name in value
    ]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _all(values: list[Any], root: Any) -> list[Any]:
    return [child for value in values for child in _children(value)]


def _deeply(step: Step) -> Step:
    def everywhere(values: list[Any], root: Any) -> list[Any]:
        found = step(values, root)
        for value in values:
            found += everywhere(_children(value), root) if _children(value) else []
        return found

    return everywhere


def _slice(text: str) -> Step:
    if text == "*":
        return _all
    if ":" in text:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
        chosen = slice(*parts)
        return lambda values, root: [
            child for value in values if isinstance(value, list) for child in value[chosen]
        ]
    indexes = [int(part) for part in text.split(",")]
    return lambda values, root: [
        value[i]
        for value in values
        if isinstance(value, list)
        for i in indexes
        if -len(value) <= i < len(value)
    ]


def _filter(expression: str) -> Step:
    compared = _COMPARE.match(expression)

    def keep(value: Any, root: Any) -> bool:
        if compared is None:
            return bool(_walk(_steps(expression.strip()), value, root))
        left = _operand(compared["left"], value, root)
        right = _operand(compared["right"], value, root)
        return any(_holds(a, compared["op"], b) for a in left for b in right)

    return lambda values, root: [
        child for value in values for child in _children(value) if keep(child, root)
    ]


def _operand(text: str, value: Any, root: Any) -> list[Any]:
    if text[0] in "@$":
        return _walk(_steps(text), value, root)
    if text[0] in "\"'":
        return [_unquote(text)]
    try:
        return [json.loads(text)]
    except ValueError:
        return [text]


def _holds(left: Any, operator: str, right: Any) -> bool:
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    numeric = isinstance(left, int | float) and isinstance(right, int | float)
    if not numeric and not (isinstance(left, str) and isinstance(right, str)):
        return False
    order = (left > right) - (left < right)
    wanted: dict[str, tuple[int, ...]] = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}
    return order in wanted[operator]


def _unquote(text: str) -> str:
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), text[1:-1])
