"""Kinds that are served in several versions: one is stored, the others are converted.

Stored is the version that the Kind itself names; `Kind.aliases` lists the others. `at` gives the
Kind as it looks in such a version, `to_stored` and `from_stored` convert objects.

https://kubernetes.io/docs/reference/using-api/#api-versioning
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from netemu.api.conversion import endpointslice, event, horizontalpodautoscaler
from netemu.api.kind import Kind, Object
from netemu.errors import ApiError

Convert = Callable[[Object], Object]

_CONVERSIONS: dict[tuple[str, str, str], tuple[Convert, Convert, str]] = {
    ("events.k8s.io", "v1", "Event"): (
        event.to_core,
        event.from_core,
        "io.k8s.api.events.v1.Event",
    ),
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): (
        horizontalpodautoscaler.to_v2,
        horizontalpodautoscaler.from_v2,
        "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    ),
    ("discovery.k8s.io", "v1beta1", "EndpointSlice"): (
        endpointslice.to_v1,
        endpointslice.from_v1,
        "",
    ),
}


@cache
def at(kind: Kind, group: str, version: str) -> Kind:
    """`kind` as it is served under (group, version): its path and its schema."""
    if (group, version) == (kind.group, kind.version):
        return kind
    for other in kind.versions:
        if (other.group, other.version) == (group, version):
            return other
    found = _CONVERSIONS.get((group, version, kind.kind))
    schema = kind.schema if found is None else found[2]
    return replace(kind, group=group, version=version, schema=schema, aliases=())


def served(kind: Kind) -> list[Kind]:
    """The kind in every version in which it is served, the stored one first."""
    return [kind, *(at(kind, group, version) for group, version in kind.aliases)]


def to_stored(kind: Kind, obj: Object) -> Object:
    """`obj`, in any served version, in the stored one. Shares parts with `obj`.

    ApiError BadRequest when it is too misshapen to be converted.
    """
    version = obj.get("apiVersion")
    if version == kind.api_version or not isinstance(version, str) or not version:
        return obj
    found = _CONVERSIONS.get((*_split(version), kind.kind))
    try:
        converted = found[0](obj) if found else dict(obj)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        message = f"{kind.kind} in version {version!r} cannot be converted: {problem}"
        raise ApiError("BadRequest", message) from problem
    converted["apiVersion"] = kind.api_version
    return converted


def from_stored(kind: Kind, obj: Object, group: str, version: str) -> Object:
    """The stored `obj` as it looks under (group, version). Shares parts with `obj`."""
    if (group, version) == (kind.group, kind.version):
        return obj
    found = _CONVERSIONS.get((group, version, kind.kind))
    converted = found[1](obj) if found else dict(obj)
    converted["apiVersion"] = f"{group}/{version}" if group else version
    return converted


def _split(api_version: str) -> tuple[str, str]:
    group, _, version = api_version.rpartition("/")
    return group, version
