"""Request bodies in YAML. Apart from `body`, because the parser costs a start 30 ms."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from netemu.api.depth import DEEPEST
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
