"""One place in a schema, compiled from OpenAPI so that walking it is quick.

A node's fields are compiled when they are first asked for: a pod without volumes never pays for
thirty volume types.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Raw = Mapping[str, Any]
Resolver = Callable[[str], Raw]

_SCALARS: dict[str, type] = {"string": str, "boolean": bool, "integer": int}
"""Types that the quick walk compares by class alone."""
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_TIMES = frozenset(
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    )
)
_OPEN = frozenset(
    (
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    )
)
_EMBEDDED: dict[str, Raw] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
}
"""What an object within an object has, whatever its schema says."""
KEY_DEFAULTS = {"protocol": "TCP"}
"""Defaults of list keys that the published schemas leave out."""


class Node:
    """What may stand at one place.

    `shape` is struct, map, list, string, integer, number, boolean, int-or-string, quantity, time,
    bytes or any. `list_type` (atomic, set, map with `keys`) and `atomic` (of structs and maps) say
    how server-side apply merges; `strategies` and `merge_key` how strategic merge patch does.
    """

    __slots__ = (
        "atomic",
        "element",
        "fields",
        "format",
        "keys",
        "list_type",
        "merge_key",
        "nullable",
        "preserve",
        "quick",
        "raw",
        "resolve",
        "shape",
        "strategies",
        "type_name",
    )

    atomic: bool
    element: Node
    fields: dict[str, Node]
    format: str
    keys: tuple[str, ...]
    list_type: str
    merge_key: str
    nullable: bool
    preserve: bool
    quick: dict[str, type]
    raw: Raw
    resolve: Resolver
    shape: str
    strategies: frozenset[str]
    type_name: str

    def __getattr__(self, name: str) -> Any:
        """Compile what is below, once, when it is first asked for."""
        if name in ("fields", "quick"):
            properties = dict(self.raw.get("properties") or {})
            if self.raw.get("x-kubernetes-embedded-resource"):
                properties |= _EMBEDDED
            made = {field: compile_schema(raw, self.resolve) for field, raw in properties.items()}
            self.fields = made
            self.quick = {
                field: _SCALARS[node.shape]
                for field, node in made.items()
                if node.shape in _SCALARS
            }
        elif name == "element":
            inner = self.raw.get("items" if self.shape == "list" else "additionalProperties")
            self.element = compile_schema(inner if isinstance(inner, Mapping) else {}, self.resolve)
        else:
            raise AttributeError(name)
        return getattr(self, name)


def compile_schema(raw: Raw, resolve: Resolver) -> Node:
    """The node for an OpenAPI schema. `resolve` gives the definition that a `$ref` names."""
    node = Node()
    reference = raw.get("$ref")
    body = resolve(reference) if isinstance(reference, str) else raw
    node.raw, node.resolve = body, resolve
    node.type_name = reference.rpartition(".")[2] if isinstance(reference, str) else ""
    node.format = body.get("format") or ""
    node.shape = _shape(reference, body)
    node.nullable = bool(body.get("nullable"))
    node.preserve = bool(body.get("x-kubernetes-preserve-unknown-fields"))
    node.atomic = _is_atomic(raw, body)
    node.list_type = raw.get("x-kubernetes-list-type") or "atomic"
    node.keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
    strategies = raw.get("x-kubernetes-patch-strategy")
    node.strategies = frozenset(strategies.split(",") if strategies else ())
    node.merge_key = raw.get("x-kubernetes-patch-merge-key") or ""
    return node


def _is_atomic(raw: Raw, body: Raw) -> bool:
    given = raw.get("x-kubernetes-map-type") or body.get("x-kubernetes-map-type")
    return bool(given == "atomic")


def _shape(reference: Any, body: Raw) -> str:
    if reference == _QUANTITY:
        return "quantity"
    if reference == _INT_OR_STRING or body.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    if reference in _TIMES:
        return "time"
    if reference in _OPEN:
        return "any"
    match body.get("type"):
        case "object":
            return _object_shape(body)
        case "array":
            return "list"
        case "string":
            return "bytes" if body.get("format") == "byte" else "string"
        case "integer" | "number" | "boolean" as scalar:
            return str(scalar)
    return "any"


def _object_shape(body: Raw) -> str:
    """A struct has named properties, a map has values of one type, and the rest is open."""
    if body.get("properties") or body.get("x-kubernetes-embedded-resource"):
        return "struct"
    if isinstance(body.get("additionalProperties"), Mapping):
        return "map"
    if body.get("additionalProperties") is True:
        return "any"
    return "struct" if not body.get("x-kubernetes-preserve-unknown-fields") else "any"


OPEN = compile_schema({}, lambda name: {})
"""Anything at all."""
