"""The schemas of the documents: definitions with their texts, in the form of either version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netemu.api.kind import Kind
from netemu.api.schema.definitions import METADATA, definitions, descriptions

Raw = Mapping[str, Any]
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_SPECIAL: dict[int, dict[str, dict[str, Any]]] = {
    3: {
        _QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
        _INT_OR_STRING: {
            "oneOf": [{"type": "integer"}, {"type": "string"}],
            "format": "int-or-string",
        },
    },
    2: {
        _QUANTITY: {"type": "string"},
        _INT_OR_STRING: {"type": "string", "format": "int-or-string"},
    },
}


def name_of(kind: Kind) -> str:
    """The name of the kind's schema: the definition's, or one made as the real server does."""
    if kind.open_api is None and kind.schema:
        return kind.schema
    turned = ".".join(reversed(kind.group.split(".")))
    return f"{turned}.{kind.version}.{kind.kind}"


def list_name_of(kind: Kind) -> str:
    return f"{name_of(kind)}List"


def build(kinds: Iterable[Kind], *, version: int, bodies: Iterable[str] = ()) -> dict[str, Any]:
    """All schemas that the documents of `kinds` refer to, by name; `bodies` are further ones.

    `version` is 2 or 3. Texts are included.
    """
    found: dict[str, Any] = {}
    pending = [STATUS, PATCH, DELETE_OPTIONS, LIST_META, *bodies]
    for kind in kinds:
        if kind.open_api is not None or kind.schema not in definitions():
            found[name_of(kind)] = _custom(kind, version)
            pending.append(METADATA)
        else:
            pending.append(kind.schema)
        found[list_name_of(kind)] = _list(kind, version)
    while pending:
        name = pending.pop()
        if name not in found and name in definitions():
            found[name] = definition(name, version)
            pending += _references(definitions()[name])
    return dict(sorted(found.items()))


def _references(raw: Any) -> Iterator[str]:
    if isinstance(raw, Mapping):
        reference = raw.get("$ref")
        if isinstance(reference, str):
            yield reference
        for value in raw.values():
            yield from _references(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _references(value)


def definition(name: str, version: int) -> dict[str, Any]:
    text, texts = descriptions().get(name, ("", {}))
    special = _SPECIAL[version].get(name)
    made = dict(special) if special else _schema(definitions()[name], version, texts)
    return {"description": text, **made} if text else made


def reference(name: str, version: int) -> dict[str, str]:
    prefix = "#/definitions/" if version == 2 else "#/components/schemas/"
    return {"$ref": prefix + name}


def _schema(raw: Raw, version: int, texts: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "properties":
            made[key] = {
                name: _property(inner, version, texts.get(name, ""))
                for name, inner in value.items()
            }
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            made[key] = _property(value, version, "")
        else:
            made[key] = value
    return made


def _property(raw: Raw, version: int, text: str) -> dict[str, Any]:
    described = {"description": text} if text else {}
    name = raw.get("$ref")
    if not isinstance(name, str):
        return {**described, **_schema(raw, version, {})}
    rest = {key: value for key, value in raw.items() if key != "$ref"}
    if version == 2:
        return {**described, **reference(name, 2), **rest}
    return {**described, "allOf": [reference(name, 3)], "default": {}, **rest}


def _gvk(kind: Kind, suffix: str = "") -> list[dict[str, str]]:
    return [{"group": kind.group, "version": kind.version, "kind": kind.kind + suffix}]


def _custom(kind: Kind, version: int) -> dict[str, Any]:
    """The schema of a custom resource, with the fields that every object has."""
    given = dict(kind.open_api or {"type": "object"})
    properties = dict(given.get("properties") or {})
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string"}
    properties["metadata"] = _property({"$ref": METADATA}, version, "Standard object's metadata.")
    if version == 2:
        properties = {name: _plain(inner) for name, inner in properties.items()}
    made = {**given, "type": "object", "properties": properties}
    return {**made, "x-kubernetes-group-version-kind": _gvk(kind)}


def _plain(raw: Any) -> Any:
    """OpenAPI v2 knows no nullable, oneOf and the like: what it does not know is left out."""
    if not isinstance(raw, Mapping):
        return raw
    left_out = ("nullable", "oneOf", "anyOf", "allOf", "not", "default")
    made = {key: value for key, value in raw.items() if key not in left_out}
    if "properties" in made:
        made["properties"] = {name: _plain(inner) for name, inner in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = _plain(made[key])
    return made


def _list(kind: Kind, version: int) -> dict[str, Any]:
    items = {"type": "array", "items": reference(name_of(kind), version)}
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "items": items,
        "metadata": _property({"$ref": LIST_META}, version, "Standard list metadata."),
    }
    return {
        "description": f"{kind.kind}List is a list of {kind.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": _gvk(kind, "List"),
    }
