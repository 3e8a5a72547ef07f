"""A Service's address families and cluster IPs: what was asked for, or the next free ones.

https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import ipaddress
import random as random_module
from collections.abc import Iterable

from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Object
from netemu.apiserver.allocator import Allocator, addresses, number_of

_NO_IP = ("ExternalName",)
NONE = "None"


class ClusterIPs:
    """One allocator a family, in the order of the cluster's service subnets."""

    def __init__(self, subnets: tuple[str, ...]) -> None:
        self._own = subnets
        self._subnets = subnets
        self._allocators = {_family(net): Allocator(addresses(net)) for net in subnets}

    def extend(self, further: Iterable[str]) -> None:
        """The ranges of ServiceCIDRs, besides the cluster's own; families stay as they are."""
        self._subnets = tuple(dict.fromkeys((*self._own, *further)))
        for family, allocator in self._allocators.items():
            allocator.ranges = [addresses(net) for net in self._subnets if _family(net) == family]

    def note(self, obj: Object, owner: str, known: bool) -> None:
        """A Service that has these addresses exists, or does no more."""
        for address in (obj.get("spec") or {}).get("clusterIPs") or ():
            allocator, number = self._find(address)
            if allocator is not None and number is not None:
                (allocator.assign if known else allocator.free)((number,), owner)

    def _find(self, address: str) -> tuple[Allocator | None, int | None]:
        return self._allocators.get(_family(address)), number_of(address)

    def settle(
        self, random: random_module.Random, obj: Object, owner: str, taken: list[str]
    ) -> list[Cause]:
        """Fill in families and addresses; what it reserves it adds to `taken`."""
        spec = obj["spec"]
        if _kind(spec) in _NO_IP:
            return []
        asked = list(
            spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        )
        if asked and spec.get("clusterIP") and asked[0] != spec["clusterIP"]:
            message = "first value must match `clusterIP`"
            return [invalid("spec.clusterIPs", asked, message)]
        if len({_family(address) for address in asked}) < len(asked):
            message = "may specify no more than one IP for each IP family"
            return [invalid("spec.clusterIPs", asked, message)]
        causes = self._settle_families(spec, asked)
        if causes:
            return causes
        if asked[:1] == [NONE]:
            spec["clusterIP"], spec["clusterIPs"] = NONE, [NONE]
            return []
        return self._settle_addresses(random, spec, asked, owner, taken)

    def _settle_families(self, spec: Object, asked: list[str]) -> list[Cause]:
        if asked[:1] == [NONE] and not spec.get("selector"):
            return []  # its addresses are somebody else's: `prepare` allows both families
        wanted = list(spec.get("ipFamilies") or ())
        for family in wanted:
            if family not in self._allocators:
                message = "not configured on this cluster"
                return [invalid("spec.ipFamilies[0]", family, message)]
        policy = spec.get("ipFamilyPolicy")
        families = wanted or list(dict.fromkeys(_family(a) for a in asked if a != NONE))
        if not policy:
            policy = "RequireDualStack" if len(families) > 1 else "SingleStack"
        if policy == "RequireDualStack" and len(self._allocators) < 2:
            message = "this cluster is not configured for dual-stack services"
            return [invalid("spec.ipFamilyPolicy", policy, message)]
        families += [family for family in self._allocators if family not in families]
        if policy == "SingleStack":
            families = families[:1]
        spec["ipFamilyPolicy"], spec["ipFamilies"] = policy, families
        return []

    def _settle_addresses(
        self,
        random: random_module.Random,
        spec: Object,
        asked: list[str],
        owner: str,
        taken: list[str],
    ) -> list[Cause]:
        given: list[str] = []
        for index, family in enumerate(spec["ipFamilies"]):
            if index < len(asked) and asked[index]:
                cause = self._take(asked[index], asked, index, owner, taken)
                if cause is not None:
                    return [cause]
                given.append(asked[index])
                continue
            number = self._allocators[family].pick(random)
            if number is None:
                message = "failed to allocate a serviceIP: range is full"
                return [invalid("spec.clusterIPs", asked, message)]
            given.append(_address(family, number))
            taken.append(given[-1])
        spec["clusterIP"], spec["clusterIPs"] = given[0], given
        return []

    def _take(
        self, address: str, asked: list[str], index: int, owner: str, taken: list[str]
    ) -> Cause | None:
        allocator, number = self._find(address)
        field = f"spec.clusterIPs[{index}]"
        if number is None:
            message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            return invalid(field, address, message)
        kept = allocator is not None and allocator.has(number, owner)  # even if its range ends
        if allocator is None or not (kept or allocator.contains(number)):
            mine = [net for net in self._subnets if _family(net) == _family(address)]
            valid = ", ".join(mine or self._subnets)
            why = (
                f"the provided IP ({address}) is not in the valid range. The range of valid IPs is"
            )
            return invalid(field, asked, f"failed to allocate IP {address}: {why} {valid}")
        if not allocator.is_free(number, owner):
            why = "provided IP is already allocated"
            return invalid(field, asked, f"failed to allocate IP {address}: {why}")
        allocator.reserve(number)
        taken.append(address)
        return None

    def is_taken(self, address: str, owner: str) -> bool:
        """Whether a present Service other than `owner` has it."""
        allocator, number = self._find(address)
        return allocator is not None and number is not None and allocator.is_taken(number, owner)

    def release(self, taken: Iterable[str]) -> None:
        for address in taken:
            allocator, number = self._find(address)
            if allocator is not None and number is not None:
                allocator.release(number)


def too_many_families(spec: Object) -> list[Cause]:
    """Two of what a new SingleStack Service has one of; an update may give the second back."""
    policy = spec.get("ipFamilyPolicy")
    if policy != "SingleStack":
        return []
    message = "must be RequireDualStack or PreferDualStack when multiple {} are specified"
    return [
        invalid("spec.ipFamilyPolicy", policy, message.format(key))
        for key in ("clusterIPs", "ipFamilies")
        if len(spec.get(key) or ()) > 1
    ]


def _kind(spec: Object) -> str:
    return str(spec.get("type") or "ClusterIP")


def _family(address_or_subnet: str) -> str:
    return "IPv6" if ":" in address_or_subnet else "IPv4"


def _address(family: str, number: int) -> str:
    made = ipaddress.IPv6Address(number) if family == "IPv6" else ipaddress.IPv4Address(number)
    return str(made)
