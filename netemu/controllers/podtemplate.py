"""From a pod template to a pod, and the hash that names a template. Pure.

The hash is FNV-1a over canonical JSON in Kubernetes' safe alphabet. Kubernetes hashes a dump of its
Go structs, so the digits differ from a real cluster's; their form does not.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from netemu.api.kind import Object, Resource
from netemu.api.meta import copy, owner_reference

SAFE = "bcdfghjklmnpqrstvwxz2456789"

_encode = msgspec.json.Encoder(order="sorted").encode


def safe_encode(text: str) -> str:
    """apimachinery's rand.SafeEncodeString: no vowels, no look-alikes."""
    return "".join(SAFE[ord(char) % len(SAFE)] for char in text)


def fnv32a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def hash_of(value: Any, collisions: int | None = None) -> str:
    """Up to ten safe characters that name `value`; `collisions` makes another one."""
    data = _encode(value)
    if collisions is not None:
        data += collisions.to_bytes(8, "little")
    return safe_encode(str(fnv32a(data)))


def with_labels(template: Object, extra: Mapping[str, str]) -> Object:
    """A copy of the template with `extra` among its labels."""
    changed = copy(template)
    meta = changed.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), **extra}
    return changed


def without_label(template: Object, label: str) -> Object:
    """The template without `label`, to compare it; shares what it does not change."""
    meta = template.get("metadata") or {}
    kept = {key: value for key, value in (meta.get("labels") or {}).items() if key != label}
    return {**template, "metadata": {**meta, "labels": kept}}


def same_template(left: Object, right: Object, ignoring: str) -> bool:
    """Whether two templates describe the same pods, apart from the label `ignoring`."""
    return _encode(_bare(left, ignoring)) == _encode(_bare(right, ignoring))


def _bare(template: Object, ignoring: str) -> Object:
    bare = without_label(template, ignoring)
    meta = {k: v for k, v in bare["metadata"].items() if v and k != "creationTimestamp"}
    return {"metadata": meta, "spec": template.get("spec")}


def desired_pod(
    template: Object, owner: Object, owner_kind: Resource, *, name: str = "", prefix: str = ""
) -> Object:
    """A pod made from `template`, controlled by `owner`; named, or with a generateName `prefix`."""
    source = template.get("metadata") or {}
    meta: dict[str, Any] = {"name": name} if name else {"generateName": prefix}
    meta["namespace"] = owner["metadata"]["namespace"]
    for field in ("labels", "annotations", "finalizers"):
        if source.get(field):
            meta[field] = copy({"_": source[field]})["_"]
    meta["ownerReferences"] = [owner_reference(owner, owner_kind)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": copy(template.get("spec") or {}),
    }


def pod_prefix(owner_name: str) -> str:
    """generateName of a controller's pods; long owners are cut so that the name stays valid."""
    return f"{owner_name[:57]}-"
