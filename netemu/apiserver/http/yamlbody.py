"""Request bodies in YAML. Apart from `body`, because the parser costs a start 30 ms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from netemu.api.depth import DEEPEST
from netemu.api.invalid import show
from netemu.errors import ApiError


class _Loader(yaml.CSafeLoader):
    """YAML as JSON has it: no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def decode(data: bytes) -> Any:
    """One document, without aliases: they could stand for exponentially much."""
    try:
        depth = 0
        for event in yaml.parse(data, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ApiError("BadRequest", "YAML aliases are not accepted in a request body")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ApiError(
                    "BadRequest", f"the request body is nested deeper than {DEEPEST} levels"
                )
        found = yaml.load(data, Loader=_Loader)
        return msgspec.json.decode(msgspec.json.encode(found))
    except (yaml.YAMLError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ApiError("BadRequest", f"the request body is not valid YAML: {error}") from error


def duplicates(data: bytes) -> Iterator[str]:
    """Keys that a mapping has twice, in the words of go-yaml."""
    open_: list[_Mapping | None] = []  # None: a sequence
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
        elif isinstance(event, yaml.NodeEvent):
            if open_ and (mapping := open_[-1]) is not None:
                yield from mapping.next(event)
            if isinstance(event, yaml.MappingStartEvent):
                open_.append(_Mapping())
            elif isinstance(event, yaml.SequenceStartEvent):
                open_.append(None)


class _Mapping:
    """Keys and values come by turns."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._key: str | None = None
        self._is_value = False

    def next(self, event: yaml.NodeEvent) -> Iterator[str]:
        if not self._is_value:
            self._key = event.value if isinstance(event, yaml.ScalarEvent) else None
        elif self._key is not None and self._key in self._keys:
            assert event.start_mark is not None
            yield f"line {event.start_mark.line + 1}: key {show(self._key)} already set in map"
        elif self._key is not None:
            self._keys.add(self._key)
        self._is_value = not self._is_value
