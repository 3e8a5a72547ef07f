"""Whatever fits a kind's schema, its rules and columns must cope with it: no defect, no 500."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netemu.api import discovery, managedfields, meta, schema, strategic, table, versions
from netemu.api.kind import Kind, Object
from netemu.api.kinds import ALL
from netemu.api.objectrules import validate
from netemu.api.schema import Node
from netemu.errors import ApiError

WORDS = ("", "a", "A_b", "x.y/z", "Always", "None", "10.0.0.1", "10.0.0.0/8", "25%", "é" * 3, "-")
NUMBERS = (0, 1, -1, 80, 65536, 2147483647)
QUANTITIES = ("0", "1", "100m", "-1", "1Gi")
NOW = "2026-01-01T00:00:00Z"


def make(node: Node, random: Random, depth: int = 0) -> Any:
    """A value that fits `node`; the deeper, the emptier."""
    match node.shape:
        case "struct":
            chance = 0.5 if depth < 3 else 0.35 if depth < 6 else 0.1
            chosen = [name for name in node.fields if random.random() < chance]
            return {name: make(node.fields[name], random, depth + 1) for name in chosen}
        case "map":
            keys = random.sample(WORDS, random.randint(0, 2))
            return {key: make(node.element, random, depth + 1) for key in keys}
        case "list":
            size = random.randint(0, 2 if depth < 6 else 1)
            return [make(node.element, random, depth + 1) for _ in range(size)]
        case "integer":
            return random.choice(NUMBERS)
        case "boolean":
            return random.random() < 0.5
        case "int-or-string":
            return random.choice(NUMBERS + WORDS)
        case "quantity":
            return random.choice(QUANTITIES)
        case "time":
            return NOW
        case "number":
            return random.choice((0.5, 1, -1))
        case "bytes":
            return random.choice(("", "eA=="))
        case "any":
            return random.choice(({}, {"a": 1}))
    return random.choice(WORDS)


def an_object(kind: Kind, random: Random) -> Object:
    obj: Object = make(schema.of_kind(kind), random)
    given_metadata = obj.get("metadata") or {}
    obj["metadata"] = {**given_metadata, "name": "x", "uid": "u", "creationTimestamp": NOW}
    obj["metadata"].pop("managedFields", None)
    if kind.namespaced:
        obj["metadata"]["namespace"] = "default"
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    return obj


def through_the_server(kind: Kind, obj: Object, old: Object | None) -> Object:
    """What the API server does with a write, but for storing it."""
    checked = schema.check(kind, obj)
    assert checked.ok, checked.errors or checked.unknown
    new = meta.copy(checked.clean)
    kind.default(new)
    managedfields.update(kind, old, new, manager="m", now=NOW)
    kind.prepare(new, old)
    validate(kind, new, old)
    validate(kind, new, old, subresource="status")
    kind.fields(new)
    shown = {**new, "status": obj["status"]} if "status" in obj else new
    table.render(kind, [shown], now=2e9)
    return new


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.group}/{kind.kind}")
@settings(max_examples=8)
@given(st.integers(0, 10**9))
def test_anything_that_fits(kind: Kind, seed: int) -> None:
    random = Random(seed)
    first = through_the_server(kind, an_object(kind, random), None)
    second = through_the_server(kind, an_object(kind, random), first)
    again = meta.copy(second)
    kind.default(again)
    assert again == second or kind.kind in ("Namespace",), "defaults must be idempotent"
    for each in versions.served(kind)[1:]:
        shown = versions.from_stored(kind, second, each.group, each.version)
        versions.to_stored(kind, shown)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.group}/{kind.kind}")
@settings(max_examples=8)
@given(st.integers(0, 10**9))
def test_patches_and_applies_of_anything(kind: Kind, seed: int) -> None:
    random = Random(seed)
    live = through_the_server(kind, an_object(kind, random), None)
    try:
        strategic.apply(live, an_object(kind, random), kind)
        config = schema.prune(kind, an_object(kind, random))
        applied = managedfields.apply(kind, live, config, manager="n", now=NOW, force=True)
        again = managedfields.apply(kind, applied, config, manager="n", now=NOW)
    except ApiError as error:
        assert error.code == 400  # two elements of a list with the same key, or none
    else:
        assert again == applied


def test_discovery_of_everything() -> None:
    for core in (True, False):
        assert discovery.aggregated(ALL, core=core)["items"]
