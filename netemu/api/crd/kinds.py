"""The Kind that a CustomResourceDefinition describes.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netemu.api import jsonpath
from netemu.api.cells import AGE, NAME
from netemu.api.crd import rules
from netemu.api.crd.columns import column
from netemu.api.crd.defaults import fill
from netemu.api.crd.validation import check
from netemu.api.kind import Cause, Column, Kind, Object, ScalePaths


def kind_of(definition: Object) -> Kind:
    """The Kind of the stored version; `versions` of it are the other served ones.

    All versions have the same content but for `apiVersion` (conversion strategy `None`).
    """
    spec = definition["spec"]
    stored = next(version for version in spec["versions"] if version.get("storage"))
    others = tuple(
        _kind(definition, version)
        for version in spec["versions"]
        if version.get("served") and version is not stored
    )
    return _kind(definition, stored, others)


def _kind(definition: Object, version: Mapping[str, Any], others: tuple[Kind, ...] = ()) -> Kind:
    spec = definition["spec"]
    named = spec["names"]
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    parts = version.get("subresources") or {}
    subresources = {name for name in ("status", "scale") if parts.get(name) is not None}
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=named["plural"],
        kind=named["kind"],
        namespaced=spec.get("scope") != "Cluster",
        singular=named.get("singular") or named["kind"].lower(),
        short_names=tuple(named.get("shortNames") or ()),
        categories=tuple(named.get("categories") or ()),
        storage=f"{spec['group']}/{named['plural']}",
        aliases=tuple((other.group, other.version) for other in others),
        versions=others,
        subresources=frozenset(subresources),
        scale=_scale(parts.get("scale")),
        open_api=schema,
        columns=_columns(version.get("additionalPrinterColumns")),
        default=_default(schema),
        validate=_validate(schema, with_status="status" not in subresources),
        validate_status=_validate(schema, with_status=True),
        fields=_fields(version.get("selectableFields") or ()),
        has_generation=True,
        unconditional_update=False,
    )


def _scale(paths: Mapping[str, Any] | None) -> ScalePaths | None:
    if paths is None:
        return None
    return ScalePaths(
        spec_replicas=paths["specReplicasPath"].lstrip("."),
        status_replicas=paths["statusReplicasPath"].lstrip("."),
        selector=(paths.get("labelSelectorPath") or "").lstrip("."),
    )


def _columns(given: Any) -> tuple[Column, ...]:
    if not given:
        return (NAME, AGE)
    return (NAME, *(column(each) for each in given))


def _default(schema: Mapping[str, Any]) -> Callable[[Object], None]:
    def default(obj: Object) -> None:
        fill(obj, schema)

    return default


def _validate(
    schema: Mapping[str, Any], *, with_status: bool
) -> Callable[[Object, Object | None], list[Cause]]:
    ruled = rules.has_rules(schema)

    def shown(obj: Object) -> Object:
        return obj if with_status else {key: obj[key] for key in obj if key != "status"}

    def validate(obj: Object, old: Object | None) -> list[Cause]:
        causes = check(shown(obj), schema)
        if ruled and not causes:
            causes = rules.check(shown(obj), None if old is None else shown(old), schema)
        return causes

    return validate


def _fields(selectable: Any) -> Callable[[Object], Mapping[str, str]]:
    paths = [each["jsonPath"] for each in selectable]

    def fields(obj: Object) -> Mapping[str, str]:
        return {path.lstrip("."): jsonpath.text(jsonpath.first(path, obj)) for path in paths}

    return fields
