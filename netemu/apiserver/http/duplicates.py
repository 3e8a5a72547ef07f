"""Keys that a body says twice: the decoders keep the last, a client should hear of it.

https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from netemu.apiserver.http.body import PROTOBUF
from netemu.client.protocol import JSON_PATCH

_encode = msgspec.json.Encoder().encode
_SPACED = tuple(b'"%c' % space for space in b" \n\r\t")
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:').search


def duplicates(data: bytes, media: str, found: Any) -> tuple[str, ...]:
    """What is wrong with a body's keys, in the real decoders' words; `found` is it decoded."""
    if media == PROTOBUF:
        return ()
    if data.count(b'":') == _encode(found).count(b'":') and not _hides_keys(data):
        return ()  # as many keys as there are left: nearly always
    try:
        marked = json.loads(data, object_pairs_hook=_Marked)
    except ValueError:
        return _in_yaml(data)
    which = "json patch " if media == JSON_PATCH else ""
    return tuple(f'{which}duplicate field "{path}"' for path in _paths(marked, ""))


def _hides_keys(data: bytes) -> bool:
    """Whether a body may have keys, or what looks like them, written in another way than `":`."""
    if b"\\u" in data:
        return True
    return any(spaced in data for spaced in _SPACED) and _SPACED_COLON(data) is not None


class _Marked(dict[str, Any]):
    """A JSON object that knows which of its keys came more than once."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: set[str] = set()
        if len(self) < len(pairs):
            times = Counter(key for key, _ in pairs)
            self.repeated = {key for key, count in times.items() if count > 1}


def _paths(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, _Marked):
        for key, inner in value.items():
            place = f"{where}.{key}" if where else key
            if key in value.repeated:
                yield place
            yield from _paths(inner, place)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{where}[{index}]")


def _in_yaml(data: bytes) -> tuple[str, ...]:
    import yaml  # apart, as `body` says

    from netemu.apiserver.http import yamlbody

    try:
        return tuple(yamlbody.duplicates(data))
    except yaml.YAMLError:
        return ()  # decoded as JSON that Python's own decoder does not take
