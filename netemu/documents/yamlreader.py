"""YAML text to plain values, as go-yaml reads it, and safe with hostile input.

Kubernetes reads YAML with go-yaml, whose scalars differ from PyYAML's: no sexagesimal numbers (the
port mapping `8080:80` is text), no dates, `0o644` and `1e3` are numbers. Keys given twice are
errors here; PyYAML would silently drop the first one.
https://pkg.go.dev/sigs.k8s.io/yaml
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from netemu.documents.document import Read

MAX_VALUES = 5_000_000
"""Values after aliases are expanded; a few lines of nested aliases can stand for billions."""

MAX_DEPTH = 1000
"""libyaml's composer recurses in C: some ten thousand levels end the process."""

_BRACKET = re.compile(r"[\[\]{}]")
_DEEP_BLOCK = re.compile(rf"^ {{{MAX_DEPTH}}}|(?:[-?:][ \t]+){{{MAX_DEPTH // 4}}}", re.MULTILINE)
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


def read_yaml(text: str, line: int) -> Read:
    """The one document in `text`, which begins on `line` of its file."""
    if _too_deep(text):
        return Read(line, problem="is nested too deeply")
    loader = _Loader(text)
    loader.first_line = line
    try:
        node = loader.get_single_node()
        if node is None:
            return Read(line)
        first = line + node.start_mark.line
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        return Read(line, problem=_yaml_problem(error, line))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return Read(line, problem=" ".join(reason.split()))
    finally:
        loader.dispose()
    problem = _too_large(value)
    return Read(first, value, problem) if not problem else Read(first, problem=problem)


def _too_deep(text: str) -> bool:
    """Whether composing `text` may recurse too far; looks at brackets and indentation only."""
    if _DEEP_BLOCK.search(text):
        return True
    if text.count("[") + text.count("{") < MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _yaml_problem(error: yaml.MarkedYAMLError, line: int) -> str:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "is not YAML"
    if mark is None:
        return problem
    return f"line {line + mark.line}, column {mark.column + 1}: {problem}"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's parser with go-yaml's scalars, text keys, and no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    first_line = 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        self._check_twice(node)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return {_key(key): value for key, value in mapping.items()}

    def _check_twice(self, node: Any) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            line = self.first_line + key.start_mark.line
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f'key "{key.value}" is already set on line {seen[key.value]}',
                    key.start_mark,
                )
            seen[key.value] = line


def _key(key: Hashable) -> str:
    """JSON has only text as keys; go-yaml's conversion writes numbers and booleans out."""
    if isinstance(key, bool):
        return str(key).lower()
    return "null" if key is None else str(key)


def _construct_map(loader: _Loader, node: Any) -> Iterator[Any]:
    data: dict[Hashable, Any] = {}
    yield data
    data.update(loader.construct_mapping(node))


def _construct_int(loader: Any, node: Any) -> int:
    digits = node.value.replace("_", "")
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
    return int(octal[1] + octal[2], 8) if octal else int(digits, 0)


def _construct_float(loader: Any, node: Any) -> float:
    text = node.value.replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _construct_binary(loader: Any, node: Any) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor(_INT, _construct_int)
_Loader.add_constructor(_FLOAT, _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:binary", _construct_binary)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_binary)
for _tag, _pattern, _first in (
    (
        "tag:yaml.org,2002:bool",
        r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE"
        r"|on|On|ON|off|Off|OFF",
        "yYnNtTfFoO",
    ),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
    (_INT, r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def _too_large(value: Any) -> str:
    """Why the value is not usable once its aliases are written out; empty when it is."""
    try:
        count = _count(value, {}, set())
    except RecursionError:
        return "is nested too deeply"
    if count is None:
        return "an alias contains itself"
    return f"its aliases stand for {count:,} values" if count > MAX_VALUES else ""


def _count(value: Any, known: dict[int, int], above: set[int]) -> int | None:
    if not isinstance(value, dict | list):
        return 1
    identity = id(value)
    if identity in above:
        return None
    if identity not in known:
        above.add(identity)
        total = 1
        for child in value.values() if isinstance(value, dict) else value:
            count = _count(child, known, above)
            if count is None:
                return None
            total += count
        above.discard(identity)
        known[identity] = total
    return known[identity]
