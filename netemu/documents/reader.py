"""YAML and JSON documents, read strictly and with their places: file, document, line, column.

A file is cut at its `---` lines before it is parsed, as kubectl does, so that every bad document is
reported and not only the first.
https://kubernetes.io/docs/concepts/overview/working-with-objects/#describing-a-kubernetes-object
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from netemu.documents.document import Document, Read, place
from netemu.errors import ManifestError

MAX_BYTES = 32 * 1024 * 1024
"""A file above this is a mistake: the API takes no object above 3 MB; 30,000 pods fit in here."""

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_LOOK = 200
"""Characters that tell whether a text which begins with `{` was meant as JSON."""


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
    parts = _parts(text)
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


def _parts(text: str) -> list[Read]:
    """JSON when it looks like that and is; else YAML, of which `{a: 1}` is a document too."""
    looks_like_json = text.lstrip()[:1] == "{" and "\n---" not in text
    json_parts = _json_parts(text) if looks_like_json else []
    if json_parts and not any(part.problem for part in json_parts):
        return json_parts
    yaml_parts = [_read(part, line) for part, line in _split(text)]
    found = [part for part in yaml_parts if part.value is not None or part.problem]
    as_json = json_parts and any(part.problem for part in found) and '"' in text[:_LOOK]
    return json_parts if as_json else found


def _read(text: str, line: int) -> Read:
    """The one document in `text`. JSON is tried first: the YAML reader takes 13 ms to load."""
    if text.lstrip()[:1] == "{":
        found = _json_parts(text)
        if len(found) == 1 and not found[0].problem:
            return Read(line + found[0].line - 1, found[0].value)
    from netemu.documents.yamlreader import read_yaml

    return read_yaml(text, line)


def _split(text: str) -> Iterator[tuple[str, int]]:
    """(text, first line) of each document."""
    start, line = 0, 1
    for separator in _SEPARATOR.finditer(text):
        yield text[start : separator.start()], line
        line += text.count("\n", start, separator.end())
        # What stands after the dashes (`--- {a: 1}`) belongs to the document that they open.
        start = separator.start() + 3
    yield text[start:], line


def _json_parts(text: str) -> list[Read]:
    """One JSON value after the other, as kubectl reads a `.json` stream."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    parts: list[Read] = []
    position = 0
    while (position := _skip_space(text, position)) < len(text):
        line = text.count("\n", 0, position) + 1
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            return [*parts, Read(line, problem=f"{where}: {error.msg}")]
        except RecursionError:
            return [*parts, Read(line, problem="is nested too deeply")]
        except ValueError as error:
            return [*parts, Read(line, problem=str(error))]
        parts.append(Read(line, value))
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
