"""Give each node its pod ranges out of the cluster's: 10.244.0.0/24, 10.244.1.0/24, …

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/nodeipam/ipam/range_allocator.go
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.errors import TerminalError

Network = IPv4Network | IPv6Network
_MOST = 1 << 16
"""Ranges of one subnet that are looked at; an IPv6 /48 has that many /64."""


def pod_cidrs(node: Object) -> tuple[str, ...]:
    spec = node.get("spec") or {}
    found = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else ())
    return tuple(found)


def next_range(subnet: str, prefix: int, used: Sequence[Network]) -> str | None:
    """The lowest free range of that prefix length in `subnet`; None when there is none left."""
    whole: Network = ip_network(subnet)
    taken = [other for other in used if other.version == whole.version]
    exact = {other for other in taken if other.prefixlen == prefix}
    others = [other for other in taken if other.prefixlen != prefix]
    candidates: Iterator[Network] = iter(whole.subnets(new_prefix=prefix))
    for candidate in islice(candidates, _MOST):
        if candidate not in exact and not any(_overlap(candidate, other) for other in others):
            return str(candidate)
    return None


def _overlap(left: Network, right: Network) -> bool:
    return int(left[0]) <= int(right[-1]) and int(right[0]) <= int(left[-1])


def desired_cidrs(
    subnets: Sequence[str], prefixes: Sequence[int], taken: Iterable[str]
) -> list[str] | None:
    """One range a family for a new node; None when a family has none left."""
    used: list[Network] = [ip_network(text) for text in taken]
    found = []
    for subnet, prefix in zip(subnets, prefixes, strict=True):
        free = next_range(subnet, prefix, used)
        if free is None:
            return None
        found.append(free)
    return found


class NodeIpamController(Controller):
    """One worker: two nodes must not be given the same range."""

    name: ClassVar[str] = "node-ipam"
    workers: ClassVar[int] = 1

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        config = context.config
        self._subnets = config.pod_subnets
        self._prefixes = [
            config.node_cidr_mask_v6 if ":" in subnet else config.node_cidr_mask
            for subnet in config.pod_subnets
        ]
        self._given: dict[str, tuple[str, ...]] = {}
        self.nodes = self.watch(kinds.NODES, self._keys)

    def _keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is None:
            if old is not None:
                self._given.pop(name(old), None)
                # A range has come free: nodes that wait for one try again.
                return [key(node) for node in self.nodes.objects.values() if not pod_cidrs(node)]
            return ()
        return (key(new),) if not pod_cidrs(new) else ()

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        if node is None or pod_cidrs(node) or is_deleting(node) or key in self._given:
            return None
        taken = [cidr for other in self.nodes.objects.values() for cidr in pod_cidrs(other)]
        taken += [cidr for cidrs in self._given.values() for cidr in cidrs]
        cidrs = desired_cidrs(self._subnets, self._prefixes, taken)
        if cidrs is None:
            text = f"Node {key} status is now: CIDRNotAvailable"
            self.events.event(node, kinds.NODES, "Normal", "CIDRNotAvailable", text)
            ranges = ", ".join(self._subnets)
            raise TerminalError(f"node {key}: no free pod range is left in {ranges}")
        patch = {"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}
        written = await self.client.patch(kinds.NODES, key, "", patch)
        self._given[key] = tuple(cidrs)
        self.writes.note(key, self.nodes, written)
        return None
