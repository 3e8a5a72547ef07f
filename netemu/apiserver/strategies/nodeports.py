"""A Service's node ports, and the health check port of `externalTrafficPolicy: Local`.

https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport
"""

from __future__ import annotations

import random as random_module
from collections.abc import Iterable, Iterator

from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Object
from netemu.apiserver.allocator import Allocator, ports

_HEALTH = "healthCheckNodePort"


class NodePorts:
    """One allocator for all Services; TCP and UDP of one Service may share a number."""

    def __init__(self, low: int, high: int) -> None:
        self._range = ports(low, high)
        self._allocator = Allocator(self._range)

    def note(self, obj: Object, owner: str, known: bool) -> None:
        (self._allocator.assign if known else self._allocator.free)(_numbers(obj), owner)

    def settle(
        self, random: random_module.Random, obj: Object, owner: str, taken: list[int]
    ) -> list[Cause]:
        """Fill in the ports; what it reserves it adds to `taken`."""
        spec = obj["spec"]
        causes = self._take_asked(spec, owner, taken)
        if causes:
            return causes
        if _wants_ports(spec):
            causes = self._pick_ports(random, spec, taken)
        if _wants_health(spec) and not spec.get(_HEALTH):
            number = self._allocator.pick(random)
            if number is None:
                return [invalid(f"spec.{_HEALTH}", 0, "failed to allocate: range is full")]
            spec[_HEALTH] = number
            taken.append(number)
        return causes

    def _take_asked(self, spec: Object, owner: str, taken: list[int]) -> list[Cause]:
        causes = []
        asked = [
            (f"spec.ports[{index}].nodePort", port["nodePort"])
            for index, port in enumerate(_ports(spec))
            if port.get("nodePort")
        ]
        health = f"spec.{_HEALTH}"
        if spec.get(_HEALTH):
            asked.append((health, spec[_HEALTH]))
        mine: set[int] = set()
        for field, number in asked:
            if number in mine and field != health:
                continue  # the same number for another protocol; validation refuses the rest
            if not self._allocator.contains(number):
                message = "provided port is not in the valid range. The range of valid ports is"
                causes.append(invalid(field, number, f"{message} {self._range}"))
            elif number in mine or not self._allocator.is_free(number, owner):
                causes.append(invalid(field, number, "provided port is already allocated"))
            else:
                self._allocator.reserve(number)
                taken.append(number)
                mine.add(number)
        return causes

    def _pick_ports(
        self, random: random_module.Random, spec: Object, taken: list[int]
    ) -> list[Cause]:
        """One number for the ports that differ in their protocol only, as DNS has them."""
        chosen: dict[int, dict[str, int]] = {}
        for port in _ports(spec):
            if port.get("nodePort"):
                same = chosen.setdefault(port["port"], {})
                same[port.get("protocol", "TCP")] = port["nodePort"]
        for index, port in enumerate(_ports(spec)):
            if port.get("nodePort"):
                continue
            same = chosen.setdefault(port["port"], {})
            protocol = port.get("protocol", "TCP")
            number = next(iter(same.values()), None) if protocol not in same else None
            if number is None:
                number = self._allocator.pick(random)
                if number is None:
                    message = "failed to allocate a nodePort: range is full"
                    return [invalid(f"spec.ports[{index}].nodePort", 0, message)]
                taken.append(number)
            port["nodePort"] = same[protocol] = number
        return []

    def is_taken(self, number: int, owner: str) -> bool:
        """Whether a present Service other than `owner` has it."""
        return self._allocator.is_taken(number, owner)

    def release(self, taken: Iterable[int]) -> None:
        for number in taken:
            self._allocator.release(number)


def numbers(obj: Object) -> set[int]:
    """Every node port of a Service."""
    return set(_numbers(obj))


def _ports(spec: Object) -> list[Object]:
    return spec.get("ports") or []


def _numbers(obj: Object) -> Iterator[int]:
    spec = obj.get("spec") or {}
    for port in _ports(spec):
        if port.get("nodePort"):
            yield port["nodePort"]
    if spec.get(_HEALTH):
        yield spec[_HEALTH]


def _wants_ports(spec: Object) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def _wants_health(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
