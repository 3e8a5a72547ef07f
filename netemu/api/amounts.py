"""Amounts of cpu, memory and the like, as whole numbers. Pure.

cpu in thousandths, everything else in its own unit (bytes, pieces).
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from netemu.api import quantity

Amounts = Mapping[str, int]


@lru_cache(maxsize=4096)
def amount(resource: str, text: str) -> int:
    """`250m` cpu -> 250, `1Gi` memory -> 1073741824; rounded up."""
    value = quantity.parse(text)
    scaled = value * 1000 if resource == "cpu" else value
    return int(-(-scaled // 1))


def amounts(resources: Mapping[str, Any] | None) -> dict[str, int]:
    return {resource: amount(resource, str(text)) for resource, text in (resources or {}).items()}


def container_amounts(container: Mapping[str, Any], side: str) -> dict[str, int]:
    """`side`: requests or limits."""
    return amounts((container.get("resources") or {}).get(side))


def pod_requests(spec: Mapping[str, Any]) -> dict[str, int]:
    """What the pod asks for; see `pod_amounts`."""
    return pod_amounts(spec, "requests")


def pod_amounts(spec: Mapping[str, Any], side: str) -> dict[str, int]:
    """Sum of the containers, or the largest init container where that is more; with sidecars.

    `side`: requests or limits.
    """
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, container_amounts(container, side))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        wanted = container_amounts(container, side)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wanted)
            _add(running, wanted)
            wanted = dict(sidecars)
        else:
            _add(wanted, sidecars)
        for resource, value in wanted.items():
            peak[resource] = max(peak.get(resource, 0), value)
    for resource, value in peak.items():
        running[resource] = max(running.get(resource, 0), value)
    _add(running, amounts(spec.get("overhead")))
    return {resource: value for resource, value in running.items() if value}


def _add(total: dict[str, int], more: Amounts) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value
