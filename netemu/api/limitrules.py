"""LimitRanges: what they fill into a new pod, and what they refuse. Pure.

https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from netemu.api import quantity
from netemu.api.amounts import pod_amounts
from netemu.api.kind import Object, Resource


def _items(ranges: Iterable[Object], type_: str) -> Iterator[Mapping[str, Any]]:
    for found in ranges:
        for item in (found.get("spec") or {}).get("limits") or ():
            if item.get("type") == type_:
                yield item


def _containers(pod: Object) -> list[Any]:
    spec = pod.get("spec") or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def apply_defaults(ranges: Iterable[Object], pod: Object) -> None:
    """Fill default limits and requests into the pod's containers; `pod` is the caller's own."""
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for item in _items(ranges, "Container"):
        limits |= item.get("default") or {}
        requests |= item.get("defaultRequest") or {}
    if not limits and not requests:
        return
    for container in _containers(pod):
        own = container.get("resources") or {}
        asked, capped = own.get("requests") or {}, own.get("limits") or {}
        # A container that has a limit but no request asks for its limit, not for the default.
        filled = {k: v for k, v in requests.items() if k not in asked and k not in capped}
        resources = {
            **own,
            "limits": {**limits, **capped},
            "requests": {**capped, **filled, **asked},
        }
        container["resources"] = {k: v for k, v in resources.items() if v}


def refusals(ranges: Iterable[Object], resource: Resource, obj: Object) -> list[str]:
    """All that breaks a limit, in Kubernetes' words; empty when nothing does."""
    if resource.group:
        return []
    found = list(ranges)
    if resource.plural == "persistentvolumeclaims":
        requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
        return _check_all(found, _Asked("PersistentVolumeClaim", _parsed(requests), {}))
    if resource.plural != "pods":
        return []
    refused = []
    for container in _containers(obj):
        own = container.get("resources") or {}
        amounts = (_parsed(own.get(key)) for key in ("requests", "limits"))
        refused += _check_all(found, _Asked("Container", *amounts))
    whole = [
        {k: Fraction(v, 1000) if k == "cpu" else Fraction(v) for k, v in amounts.items()}
        for amounts in (pod_amounts(obj["spec"], "requests"), pod_amounts(obj["spec"], "limits"))
    ]
    return refused + _check_all(found, _Asked("Pod", *whole))


def _parsed(amounts: Mapping[str, Any] | None) -> dict[str, Fraction]:
    return {name: quantity.parse(str(text)) for name, text in (amounts or {}).items()}


class _Asked(NamedTuple):
    """What one Container, Pod or PersistentVolumeClaim asks for: resource → amount."""

    type: str
    requests: Mapping[str, Fraction]
    limits: Mapping[str, Fraction]


def _check_all(ranges: Iterable[Object], asked: _Asked) -> list[str]:
    refused = []
    for item in _items(ranges, asked.type):
        for name, text in (item.get("min") or {}).items():
            refused += _check_min(name, str(text), asked)
        for name, text in (item.get("max") or {}).items():
            refused += _check_max(name, str(text), asked)
        for name, text in (item.get("maxLimitRequestRatio") or {}).items():
            refused += _check_ratio(name, str(text), asked)
    return refused


def _check_min(name: str, text: str, asked: _Asked) -> list[str]:
    what = f"minimum {name} usage per {asked.type} is {text}"
    if name not in asked.requests:
        return [f"{what}. No request is specified"]
    least = quantity.parse(text)
    for side, amounts in (("request", asked.requests), ("limit", asked.limits)):
        if name in amounts and amounts[name] < least:
            return [f"{what}, but {side} is {quantity.format(amounts[name], _family(text))}"]
    return []


def _check_max(name: str, text: str, asked: _Asked) -> list[str]:
    what = f"maximum {name} usage per {asked.type} is {text}"
    if name not in asked.limits and asked.type != "PersistentVolumeClaim":
        return [f"{what}. No limit is specified"]
    most = quantity.parse(text)
    for side, amounts in (("limit", asked.limits), ("request", asked.requests)):
        if name in amounts and amounts[name] > most:
            return [f"{what}, but {side} is {quantity.format(amounts[name], _family(text))}"]
    return []


def _check_ratio(name: str, text: str, asked: _Asked) -> list[str]:
    what = f"{name} max limit to request ratio per {asked.type} is {text}"
    request, limit = asked.requests.get(name), asked.limits.get(name)
    if not request or limit is None:
        missing = "no limit is specified" if limit is None else "no request is specified"
        return [f"{what}, but {missing}"]
    ratio = limit / request
    if ratio > quantity.parse(text):
        return [f"{what}, but provided ratio is {float(ratio):f}"]
    return []


def _family(text: str) -> str:
    return "binary" if text.endswith("i") else "decimal"
