"""YAML and JSON documents, read strictly and with their places: file, document, line, column.

Kubernetes reads YAML with go-yaml, whose scalars differ from PyYAML's: no sexagesimal numbers (the
port mapping `8080:80` is text), no dates, `0o644` and `1e3` are numbers. Keys given twice are
errors here; PyYAML would silently drop the first one.

A file is cut at its `---` lines before it is parsed, as kubectl does, so that every bad document is
reported and not only the first.
https://kubernetes.io/docs/concepts/overview/working-with-objects/#describing-a-kubernetes-object
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from netemu.errors import ManifestError

MAX_BYTES = 32 * 1024 * 1024
"""A file above this is a mistake: the API takes no object above 3 MB; 30,000 pods fit in here."""

MAX_VALUES = 5_000_000
"""Values after aliases are expanded; a few lines of nested aliases can stand for billions."""

MAX_DEPTH = 1000
"""libyaml's composer recurses in C: some ten thousand levels end the process."""

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_LOOK = 200
"""Characters that tell whether a text which begins with `{` was meant as JSON."""
_BRACKET = re.compile(r"[\[\]{}]")
_DEEP_BLOCK = re.compile(rf"^ {{{MAX_DEPTH}}}|(?:[-?:][ \t]+){{{MAX_DEPTH // 4}}}", re.MULTILINE)
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document: its value, and where it stands. `line` counts from 1."""

    value: Any
    file: str
    number: int
    count: int
    line: int

    @property
    def source(self) -> str:
        """`web.yaml`, or `web.yaml: document 2 (line 14)` when there are several."""
        return place(self.file, self.number, self.count, self.line)


def place(file: str, number: int, count: int, line: int) -> str:
    return file if count == 1 else f"{file}: document {number} (line {line})"


def decode(content: bytes, file: str) -> str:
    """The text of a file; too much of it, or something else than UTF-8, is a ManifestError."""
    if len(content) > MAX_BYTES:
        raise ManifestError(
            file,
            f"is {len(content) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.1f} MB are read",
            hint="split it: the API takes no single object above 3 MB",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            file,
            f"line {line}: is not UTF-8 (byte 0x{content[error.start]:02x} at {error.start})",
            hint=f"iconv -t UTF-8 {file}",
        ) from error


def parse(text: str, file: str) -> tuple[list[Document], list[ManifestError]]:
    """All documents that can be read, and an error for each that cannot. Empty ones don't count."""
    parts = _parts(text, file)
    documents, errors = [], []
    for number, part in enumerate(parts, 1):
        if part.problem:
            where = place(file, number, len(parts), part.line)
            errors.append(ManifestError(where, part.problem))
            continue
        documents.append(
            Document(value=part.value, file=file, number=number, count=len(parts), line=part.line)
        )
    return documents, errors


def _parts(text: str, file: str) -> list[_Part]:
    """JSON when it looks like that and is; else YAML, of which `{a: 1}` is a document too."""
    looks_like_json = text.lstrip()[:1] == "{" and "\n---" not in text
    json_parts = _json_parts(text, file) if looks_like_json else []
    if json_parts and not any(part.problem for part in json_parts):
        return json_parts
    yaml_parts = [_yaml_part(part, line) for part, line in _split(text)]
    found = [part for part in yaml_parts if part.value is not None or part.problem]
    as_json = json_parts and any(part.problem for part in found) and '"' in text[:_LOOK]
    return json_parts if as_json else found


@dataclass(frozen=True, slots=True)
class _Part:
    line: int
    value: Any = None
    problem: str = ""


def _split(text: str) -> Iterator[tuple[str, int]]:
    """(text, first line) of each document."""
    start, line = 0, 1
    for separator in _SEPARATOR.finditer(text):
        yield text[start : separator.start()], line
        line += text.count("\n", start, separator.end())
        # What stands after the dashes (`--- {a: 1}`) belongs to the document that they open.
        start = separator.start() + 3
    yield text[start:], line


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


def _yaml_part(text: str, line: int) -> _Part:
    if _too_deep(text):
        return _Part(line, problem="is nested too deeply")
    loader = _Loader(text)
    loader.first_line = line
    try:
        node = loader.get_single_node()
        if node is None:
            return _Part(line)
        first = line + node.start_mark.line
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        return _Part(line, problem=_yaml_problem(error, line))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return _Part(line, problem=" ".join(reason.split()))
    finally:
        loader.dispose()
    problem = _too_large(value)
    return _Part(first, value, problem) if not problem else _Part(first, problem=problem)


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


def _json_parts(text: str, file: str) -> list[_Part]:
    """One JSON value after the other, as kubectl reads a `.json` stream."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    parts: list[_Part] = []
    position = 0
    while (position := _skip_space(text, position)) < len(text):
        line = text.count("\n", 0, position) + 1
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            return [*parts, _Part(line, problem=f"{where}: {error.msg}")]
        except RecursionError:
            return [*parts, _Part(line, problem="is nested too deeply")]
        except ValueError as error:
            return [*parts, _Part(line, problem=str(error))]
        parts.append(_Part(line, value))
    return parts


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'key "{twice}" is given twice')
    return found
