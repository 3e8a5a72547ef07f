"""What every cluster has from the start: its namespaces, and the Service of the API itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.bootstraproles import cluster_role_bindings, cluster_roles
from netemu.apiserver.auth.escalation import RBAC
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.pipeline.create import create
from netemu.apiserver.pipeline.update import update
from netemu.apiserver.strategies.podadmission import SYSTEM_CLASSES
from netemu.errors import ApiError

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def bootstrap(ctx: Context, *, service_ip: str, service_subnets: Sequence[str]) -> None:
    """Make what is missing."""
    for name in NAMESPACES:
        await _ensure(ctx, "namespaces", {"metadata": {"name": name}})
    if ctx.registry.find("networking.k8s.io", "v1", "servicecidrs") is not None:
        await _ensure_service_cidr(ctx, service_subnets)
    await _ensure(ctx, "services", _service(service_ip))
    for plural, objects in (
        ("clusterroles", cluster_roles()),
        ("clusterrolebindings", cluster_role_bindings()),
    ):
        if ctx.registry.find(RBAC, "v1", plural) is not None:
            await asyncio.gather(*(_ensure(ctx, plural, obj) for obj in objects))
    if ctx.registry.find("scheduling.k8s.io", "v1", "priorityclasses") is not None:
        for name, value in SYSTEM_CLASSES.items():
            await _ensure(ctx, "priorityclasses", {"metadata": {"name": name}, "value": value})


async def _ensure_service_cidr(ctx: Context, subnets: Sequence[str]) -> None:
    """The range that the API server was started with, as an object (KEP-1880)."""
    obj: Object = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(subnets)}}
    await _ensure(ctx, "servicecidrs", obj)
    kind = _kind(ctx, "servicecidrs")
    entry = ctx.cache.get(kind, "", "kubernetes")
    if entry is None or (entry.object.get("status") or {}).get("conditions"):
        return
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": meta.timestamp(ctx.clock.now()),
    }
    told = {**meta.copy(entry.object), "status": {"conditions": [ready]}}
    with suppress(ApiError):  # another server on the same etcd was first
        await update(ctx, kind, "", told, subresource="status")


async def point_service(ctx: Context, addresses: Sequence[str], port: int) -> None:
    """Let the `kubernetes` Service lead to `addresses`, where the API servers are."""
    await _ensure(ctx, "endpoints", _endpoints(addresses, port), replace=True)
    await _ensure(ctx, "endpointslices", _slice(addresses, port), replace=True)


async def _ensure(ctx: Context, plural: str, obj: Object, *, replace: bool = False) -> None:
    kind = _kind(ctx, plural)
    namespace, name = meta.namespace(obj), meta.name(obj)
    present = ctx.cache.get(kind, namespace, name)
    if present is None:
        try:
            await create(ctx, kind, namespace, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":  # another server on the same etcd was first
                raise
    elif replace:
        await update(ctx, kind, namespace, obj)


def _kind(ctx: Context, plural: str) -> Kind:
    return next(kind for kind in ctx.registry.kinds() if kind.plural == plural)


_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def _service(address: str) -> Object:
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": dict(_LABELS)},
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def _endpoints(addresses: Sequence[str], port: int) -> Object:
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [{"addresses": [{"ip": each} for each in addresses], "ports": ports}],
    }


def _slice(addresses: Sequence[str], port: int) -> Object:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
