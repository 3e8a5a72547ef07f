"""The definitions of the built-in kinds, read once and when first needed."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from netemu.api.kind import Kind
from netemu.api.schema.node import OPEN, Node, Raw, compile_schema

KUBERNETES_VERSION = "v1.36.0"
"""Of the definitions in `data/`; what the server says it is."""
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def read_data(name: str) -> bytes:
    """A gzipped file of `netemu/api/data`."""
    file = resources.files("netemu.api") / "data" / name
    return gzip.decompress(file.read_bytes())


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """All OpenAPI definitions, without their texts, by name. 2 ms, once."""
    found: dict[str, dict[str, Any]] = msgspec.json.decode(read_data("schemas.json.gz"))
    return found


@cache
def descriptions() -> dict[str, tuple[str, dict[str, str]]]:
    """(the definition's text, the texts of its properties), by name."""
    found: dict[str, tuple[str, dict[str, str]]] = msgspec.json.decode(
        read_data("descriptions.json.gz")
    )
    return found


@cache
def documented(name: str, path: tuple[str, ...]) -> str:
    """The text of the field at `path` below the definition `name`; empty when there is none."""
    text = ""
    for key in path:
        raw = (definitions().get(name, {}).get("properties") or {}).get(key)
        if raw is None:
            return ""
        text = descriptions()[name][1].get(key, "")
        name = raw.get("$ref", "")
    return text


def resolve(name: str) -> Raw:
    return definitions()[name]


@cache
def named(name: str) -> Node:
    """The node of the definition `name`, e.g. `io.k8s.api.core.v1.Pod`."""
    return compile_schema({"$ref": name}, resolve) if name in definitions() else OPEN


_custom: dict[int, tuple[Mapping[str, Any], Node]] = {}


def of_kind(kind: Kind) -> Node:
    """The schema of a kind, built-in or custom."""
    if kind.open_api is None:
        return named(kind.schema)
    cached = _custom.get(id(kind.open_api))
    if cached is None or cached[0] is not kind.open_api:
        cached = kind.open_api, _custom_node(kind.open_api)
        _custom[id(kind.open_api)] = cached
    return cached[1]


def _custom_node(open_api: Mapping[str, Any]) -> Node:
    """A custom resource has the metadata of all objects, whatever its schema says of it."""
    properties = {
        **(open_api.get("properties") or {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": METADATA},
    }
    return compile_schema({**open_api, "type": "object", "properties": properties}, resolve)
