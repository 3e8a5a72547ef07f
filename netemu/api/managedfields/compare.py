"""Which fields a change added, modified or removed, as sets.

https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/typed/compare.go
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from netemu.api.managedfields.sets import FieldSet, union
from netemu.api.schema.node import KEY_DEFAULTS, OPEN, Node

ALWAYS_THERE: Mapping[str, Sequence[str]] = {
    "CronJobSpec": ("jobTemplate",),
    "CustomResourceDefinitionSpec": ("names",),
    "DaemonSetSpec": ("template", "updateStrategy"),
    "DeploymentSpec": ("strategy", "template"),
    "Event": ("source",),
    "HorizontalPodAutoscalerSpec": ("scaleTargetRef",),
    "IngressStatus": ("loadBalancer",),
    "JobSpec": ("template",),
    "JobTemplateSpec": ("metadata", "spec"),
    "NetworkPolicySpec": ("podSelector",),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "PersistentVolumeClaimSpec": ("resources",),
    "PodSpec": ("containers",),
    "PodTemplate": ("template",),
    "PodTemplateSpec": ("metadata", "spec"),
    "ReplicaSetSpec": ("template",),
    "ServiceStatus": ("loadBalancer",),
    "StatefulSetSpec": ("template", "updateStrategy"),
}
"""Go struct → its fields that are plain structs there: never absent, so nobody adds them."""
_ROOT = ("metadata", "spec", "status")


def granular(node: Node, value: Any) -> bool:
    """Whether the parts of `value` have owners of their own."""
    if isinstance(value, dict):
        return not node.atomic and (node.shape in ("struct", "map") or node.preserve)
    return isinstance(value, list) and node.shape == "list" and node.list_type != "atomic"


def field_node(node: Node, key: str) -> Node:
    if node.shape == "struct":
        return node.fields.get(key, OPEN)
    return node.element if node.shape == "map" else node


@lru_cache(maxsize=4096)
def _encoded(keys: tuple[str, ...], values: tuple[Any, ...]) -> str:
    body = dict(sorted(zip(keys, values, strict=True)))
    return "k:" + json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def element_key(node: Node, item: Any) -> str:
    """How an element of a set or map list is called in FieldsV1."""
    if node.list_type == "map" and isinstance(item, dict):
        keys = node.keys
        found = [(key, item.get(key, KEY_DEFAULTS.get(key))) for key in keys]
        given = [(key, value) for key, value in found if value.__class__ in (str, int, bool)]
        if given:
            return _encoded(tuple(key for key, _ in given), tuple(value for _, value in given))
    return "v:" + json.dumps(item, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def elements(node: Node, items: list[Any]) -> dict[str, Any]:
    """The elements of a set or map list by their keys; of doubles, the first."""
    made: dict[str, Any] = {}
    for item in items:
        made.setdefault(element_key(node, item), item)
    return made


def added(value: Any, node: Node) -> FieldSet:
    """The child for a value that was not there before: itself, and all in it."""
    if not value or not granular(node, value):
        return {}
    made: FieldSet = {".": {}}
    if isinstance(value, dict):
        struct, preserve = node.shape == "struct", node.shape == "any"
        fields = node.fields if struct else {}
        other = node if preserve else OPEN if struct else node.element
        for key, inner in value.items():
            made["f:" + key] = (
                added(inner, fields.get(key, other)) if inner.__class__ in (dict, list) else {}
            )
        return made
    element = node.element
    for item in value:
        made[element_key(node, item)] = added(item, element)
    return made


def applied(value: Any, node: Node) -> FieldSet:
    """The child for a value in an applied configuration: leaves and elements, not containers."""
    if not value or not granular(node, value):
        return {}
    made: FieldSet = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            made["f:" + key] = _applied_field(inner, node, key)
        return made
    for item in value:
        below = applied(item, node.element)
        made[element_key(node, item)] = {".": {}, **below} if below else {}
    return made


def _applied_field(value: Any, node: Node, key: str) -> FieldSet:
    below = applied(value, field_node(node, key))
    if below and node.shape != "struct":
        return {".": {}, **below}
    return below


def compare(old: Any, new: Any, node: Node, *, root: bool = True) -> tuple[FieldSet, FieldSet]:
    """(added and modified, removed) below a struct, map or list; `root` for the whole object."""
    if isinstance(new, dict):
        return _compare_maps(old if isinstance(old, dict) else {}, new, node, root)
    changed: FieldSet = {}
    removed: FieldSet = {}
    before, after = elements(node, old or []), elements(node, new)
    for key, item in after.items():
        if key not in before:
            changed[key] = added(item, node.element)
        elif before[key] != item:
            _descend(changed, removed, key, before[key], item, node.element)
    for key, item in before.items():
        if key not in after:
            removed[key] = added(item, node.element)
    return changed, removed


def _compare_maps(
    old: dict[str, Any], new: dict[str, Any], node: Node, root: bool
) -> tuple[FieldSet, FieldSet]:
    changed: FieldSet = {}
    removed: FieldSet = {}
    always = _always_there(node, root)
    struct = node.shape == "struct"
    fields, other = (node.fields, OPEN) if struct else ({}, field_node(node, ""))
    for key, value in new.items():
        before = old.get(key)
        if before is None:
            if value is None:
                continue
            if key in always:
                if value:
                    _enter(changed, key, value, fields.get(key, other))
            elif value.__class__ is dict or value.__class__ is list:
                changed["f:" + key] = added(value, fields.get(key, other))
            else:
                changed["f:" + key] = {}
        elif before != value:
            _descend(changed, removed, "f:" + key, before, value, fields.get(key, other))
    for key, value in old.items():
        if value is not None and new.get(key) is None:
            removed["f:" + key] = added(value, fields.get(key, other))
    return changed, removed


def _always_there(node: Node, root: bool) -> Sequence[str]:
    always = ALWAYS_THERE.get(node.type_name, ())
    return (*_ROOT, *always) if root else always


def _enter(changed: FieldSet, key: str, value: Any, field: Node) -> None:
    """A field that is always there got its first content: the content is added, not the field."""
    if not granular(field, value):
        changed["f:" + key] = {}
        return
    inner = compare({} if isinstance(value, dict) else [], value, field, root=False)[0]
    if inner:
        changed["f:" + key] = inner


def _descend(
    changed: FieldSet, removed: FieldSet, key: str, old: Any, new: Any, node: Node
) -> None:
    """Compare two values of one place that are not equal."""
    same_kind = old.__class__ is new.__class__
    if not (same_kind and granular(node, new)) or (not old and not new):
        changed[key] = {}
        return
    inner_changed, inner_removed = compare(old, new, node, root=False)
    if inner_changed:
        changed[key] = union(changed.get(key) or {}, inner_changed)
    if inner_removed:
        removed[key] = inner_removed
