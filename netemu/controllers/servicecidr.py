"""ServiceCIDRs: ready to give out addresses, and kept while addresses of theirs are in use.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/1880-multiple-service-cidrs
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, metadata, name, timestamp
from netemu.controllers import conditions
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.statuswrite import apply_status
from netemu.controllers.volumes.protection import finalizer_step

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = ("True", "", "Kubernetes Service CIDR is ready")
TERMINATING = (
    "False",
    "Terminating",
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
    "ServiceCIDR",
)
_NONE = "None"

Network = IPv4Network | IPv6Network


def networks(obj: Object) -> list[Network]:
    return [ip_network(cidr) for cidr in (obj.get("spec") or {}).get("cidrs") or ()]


def needed(gone: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether one of `addresses` has no other range than that of `gone`."""
    left = [net for other in others if not is_deleting(other) for net in networks(other)]
    going = [net for net in networks(gone) if not any(_within(net, other) for other in left)]
    if not going:
        return False
    found = (ip_address(address) for address in addresses)
    return any(
        any(ip in net for net in going) and not any(ip in net for net in left) for ip in found
    )


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and (
        inner.network_address in outer and inner.broadcast_address in outer
    )


class ServiceCidrController(Controller):
    name: ClassVar[str] = "service-cidr"
    workers: ClassVar[int] = 1

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.cidrs = self.watch(kinds.SERVICE_CIDRS, self._own_and_ending)
        self.watch(kinds.SERVICES, self._ending)
        self.watch(kinds.IP_ADDRESSES, self._ending)

    def _own_and_ending(self, old: Object | None, new: Object | None) -> Iterable[str]:
        return {*((key(new),) if new else ()), *self._ending(old, new)}

    def _ending(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """An address may have come free: those look again that wait for it."""
        if old is None:
            return ()
        return [key(cidr) for cidr in self.cidrs.objects.values() if is_deleting(cidr)]

    async def reconcile(self, key: str) -> float | None:
        cidr = self.cidrs.get(key)
        if cidr is None:
            return None
        if not is_deleting(cidr):
            return await self._protect(cidr)
        if await self._tell(cidr, TERMINATING):
            return None  # from here on nobody takes an address of it; then we look once more
        others = [other for other in self.cidrs.objects.values() if other is not cidr]
        in_use = needed(cidr, others, await self._in_use())
        await self._keep(cidr, finalizer_step(cidr, FINALIZER, in_use=in_use))
        return None

    async def _protect(self, cidr: Object) -> float | None:
        """The finalizer comes first: who sees it ready may lean on it."""
        wanted = finalizer_step(cidr, FINALIZER, in_use=True)
        if wanted is not None:
            await self._keep(cidr, wanted)
        else:
            await self._tell(cidr, READY)
        return None

    async def _in_use(self) -> list[str]:
        """As it is now: the informers may not have heard of the last Service yet."""
        found = [name(address) for address in (await self.client.list(kinds.IP_ADDRESSES)).items]
        for service in (await self.client.list(kinds.SERVICES)).items:
            addresses = (service.get("spec") or {}).get("clusterIPs") or ()
            found += [address for address in addresses if address != _NONE]
        return found

    async def _keep(self, cidr: Object, finalizers: list[str] | None) -> None:
        if finalizers is None:
            return
        version = metadata(cidr)["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "finalizers": finalizers or None}}
        written = await self.client.patch(kinds.SERVICE_CIDRS, name(cidr), "", patch)
        self.writes.note(key(cidr), self.cidrs, written)

    async def _tell(self, cidr: Object, ready: tuple[str, str, str]) -> bool:
        """Whether the condition had to be written."""
        status = cidr.get("status") or {}
        before = status.get("conditions") or []
        stamp = timestamp(self.clock.now())
        after = conditions.with_condition(before, "Ready", *ready, stamp)
        if after == before:
            return False
        written = await apply_status(
            self.client, kinds.SERVICE_CIDRS, cidr, {**status, "conditions": after}
        )
        if written is not None:
            self.writes.note(key(cidr), self.cidrs, written)
        return True
