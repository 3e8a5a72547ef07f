"""Addresses for Services of type LoadBalancer, out of the cluster's pool.

A cloud would give such an address and lead it to the nodes; here the proxies answer for it on every
node, so an address from the pool is all it takes. Without a pool they stay pending, as on bare
metal.
https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

from netemu.api import kinds, names
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.statuswrite import apply_status
from netemu.errors import TerminalError

_MOST = 65_536


def wants_address(service: Object) -> bool:
    """Of type LoadBalancer, and not for another implementation to serve."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def addresses_of(service: Object) -> list[str]:
    status = (service.get("status") or {}).get("loadBalancer") or {}
    return [entry["ip"] for entry in status.get("ingress") or () if entry.get("ip")]


def choose(pool: str, taken: Iterable[str], wanted: str = "") -> str | None:
    """The address asked for if it is free, else the lowest free one; None when there is none."""
    used, network = set(taken), ip_network(pool)
    if wanted:
        inside = bool(names.ip_version(wanted)) and ip_address(wanted) in network
        return wanted if inside and wanted not in used else None
    for address, _ in zip(network.hosts(), range(_MOST), strict=False):
        if str(address) not in used:
            return str(address)
    return None


def desired_status(service: Object, address: str) -> dict[str, Any]:
    """The Service's status with this address; with none if it is empty."""
    old = service.get("status") or {}
    ingress = [{"ip": address, "ipMode": "VIP"}] if address else []
    return {**old, "loadBalancer": {"ingress": ingress} if ingress else {}}


class LoadBalancerController(Controller):
    """One worker: two Services must not get the same address."""

    name: ClassVar[str] = "service-loadbalancer"
    workers: ClassVar[int] = 1

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._pool = context.config.load_balancer_pool
        self._waiting: set[str] = set()
        self.services = self.watch(kinds.SERVICES, self._keys)

    def _keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        freed = old is not None and addresses_of(old) and (new is None or not addresses_of(new))
        waiting, self._waiting = (self._waiting, set()) if freed else ((), self._waiting)
        return [*waiting, *((key(new),) if new is not None else ())]

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        if service is None or is_deleting(service):
            return None
        present = addresses_of(service)
        if not wants_address(service):
            # Of another class, somebody else's: only a Service that was ours is cleared.
            if present and service["spec"].get("type") != "LoadBalancer":
                await self._write(key, service, "")
            return None
        wanted = service["spec"].get("loadBalancerIP") or ""
        if not self._pool or (present and wanted in ("", present[0])):
            return None
        others = (other for other in self.services.objects.values() if other is not service)
        taken = [address for other in others for address in addresses_of(other)]
        address = choose(self._pool, taken, wanted)
        if address is None:
            self._waiting.add(key)
            text = f"no free address is left in {self._pool}"
            if wanted:
                text = f"{wanted} is taken, or not in {self._pool}"
            text = f"Error syncing load balancer: {text}"
            self.events.event(service, kinds.SERVICES, "Warning", "SyncLoadBalancerFailed", text)
            raise TerminalError(f"service {key}: {text}")
        await self._write(key, service, address)
        text = "Ensured load balancer"
        self.events.event(service, kinds.SERVICES, "Normal", "EnsuredLoadBalancer", text)
        return None

    async def _write(self, where: str, service: Object, address: str) -> None:
        written = await apply_status(
            self.client, kinds.SERVICES, service, desired_status(service, address)
        )
        if written is not None:
            self.writes.note(where, self.services, written)
