"""What an object takes from a ResourceQuota, and whether a new one still fits. Pure.

The controller counts what is there; the server asks before it lets something in.
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from netemu.api import quantity
from netemu.api.amounts import container_amounts, pod_amounts
from netemu.api.kind import Object, Resource

Usage = dict[str, Fraction]
_PLAIN = frozenset(
    ("configmaps", "secrets", "services", "replicationcontrollers", "resourcequotas")
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def _is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def usage_of(resource: Resource, obj: Object) -> Usage:
    """What one object counts, by the names that quotas use."""
    full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    found: Usage = {f"count/{full}": Fraction(1)}
    if resource.group:
        return found
    if resource.plural in _PLAIN:
        found[resource.plural] = Fraction(1)
    if resource.plural == "pods":
        return found | _pod_usage(obj)
    if resource.plural == "services":
        return found | _service_usage(obj)
    if resource.plural == "persistentvolumeclaims":
        return found | _claim_usage(obj)
    return found


def _pod_usage(pod: Object) -> Usage:
    if _is_over(pod):
        return {}
    found: Usage = {"pods": Fraction(1)}
    for side in ("requests", "limits"):
        for name, value in pod_amounts(pod.get("spec") or {}, side).items():
            exact = Fraction(value, 1000) if name == "cpu" else Fraction(value)
            found[f"{side}.{name}"] = exact
            if side == "requests" and (name in _COMPUTE or name.startswith("hugepages-")):
                found[name] = exact
    return found


def _service_usage(service: Object) -> Usage:
    spec = service.get("spec") or {}
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        return {}
    ports = len(spec.get("ports") or ())
    if spec["type"] == "NodePort":
        return {"services.nodeports": Fraction(ports)}
    used = {"services.loadbalancers": Fraction(1)}
    if spec.get("allocateLoadBalancerNodePorts", True):
        used["services.nodeports"] = Fraction(ports)
    return used


def _claim_usage(claim: Object) -> Usage:
    spec = claim.get("spec") or {}
    requests = (spec.get("resources") or {}).get("requests") or {}
    size = quantity.parse(requests.get("storage", "0"))
    used = {"persistentvolumeclaims": Fraction(1), "requests.storage": size}
    if named := spec.get("storageClassName"):
        prefix = f"{named}.storageclass.storage.k8s.io"
        used[f"{prefix}/persistentvolumeclaims"] = Fraction(1)
        used[f"{prefix}/requests.storage"] = size
    return used


def in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether the quota's scopes let it count the object; quotas with scopes count pods only."""
    spec = quota.get("spec") or {}
    wanted = [(scope, "Exists", ()) for scope in spec.get("scopes") or ()]
    for entry in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        wanted.append((entry["scopeName"], entry["operator"], tuple(entry.get("values") or ())))
    if wanted and (resource.group or resource.plural != "pods"):
        return False
    return all(_has_scope(obj, *entry) for entry in wanted)


def _has_scope(pod: Object, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    spec = pod.get("spec") or {}
    if scope in ("BestEffort", "NotBestEffort"):
        best = not (pod_amounts(spec, "requests") or pod_amounts(spec, "limits"))
        return best == (scope == "BestEffort")
    if scope in ("Terminating", "NotTerminating"):
        ends = spec.get("activeDeadlineSeconds") is not None
        return ends == (scope == "Terminating")
    if scope == "PriorityClass":
        named = spec.get("priorityClassName") or ""
        match operator:
            case "In":
                return named in values
            case "NotIn":
                return named not in values
            case "DoesNotExist":
                return not named
        return bool(named)
    if scope == "CrossNamespacePodAffinity":
        return _crosses_namespaces(spec)
    return False


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or {}
    terms: list[Any] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms += found.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [entry["podAffinityTerm"] for entry in preferred]
    return any(term.get("namespaces") or "namespaceSelector" in term for term in terms)


def total(quota: Object, objects: Iterable[tuple[Resource, Object]]) -> Usage:
    """What all these objects take from the quota, for each resource that it limits."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    used: Usage = dict.fromkeys(hard, Fraction(0))
    for resource, obj in objects:
        if in_scope(quota, resource, obj):
            for name, value in usage_of(resource, obj).items():
                if name in used:
                    used[name] += value
    return used


def render(usage: Usage, hard: Mapping[str, Any]) -> dict[str, str]:
    """Quantities in the family that the quota's own have."""
    return {name: quantity.format(value, _family(str(hard[name]))) for name, value in usage.items()}


def _family(text: str) -> str:
    return "binary" if text.endswith("i") else "decimal"


def refusal(quotas: Iterable[Object], resource: Resource, obj: Object) -> str:
    """Why a new object may not be made: `exceeded quota: …`; empty when it may."""
    wanted = usage_of(resource, obj)
    for quota in quotas:
        if not in_scope(quota, resource, obj):
            continue
        status = quota.get("status") or {}
        hard = status.get("hard") or (quota.get("spec") or {}).get("hard") or {}
        named = quota["metadata"]["name"]
        if missing := _must_specify(hard, resource, obj):
            return f"failed quota: {named}: must specify {missing}"
        used = {name: quantity.parse(text) for name, text in (status.get("used") or {}).items()}
        over = [
            name
            for name in sorted(wanted.keys() & hard.keys())
            if used.get(name, Fraction(0)) + wanted[name] > quantity.parse(hard[name])
        ]
        if over:
            limits = {name: quantity.parse(hard[name]) for name in over}
            asked, taken, limited = (
                ",".join(
                    f"{name}={quantity.format(amounts.get(name, Fraction(0)), _family(hard[name]))}"
                    for name in over
                )
                for amounts in (wanted, used, limits)
            )
            return f"exceeded quota: {named}, requested: {asked}, used: {taken}, limited: {limited}"
    return ""


def _must_specify(hard: Mapping[str, Any], resource: Resource, obj: Object) -> str:
    """Containers that leave out what the quota limits: `limits.cpu for: c; requests.memory …`."""
    if resource.group or resource.plural != "pods":
        return ""
    missing = []
    for name in sorted(hard):
        side, _, what = name.partition(".") if "." in name else ("requests", "", name)
        if what not in _COMPUTE or side not in ("requests", "limits"):
            continue
        silent = [
            container["name"]
            for container in (obj.get("spec") or {}).get("containers") or ()
            if what not in container_amounts(container, side)
        ]
        if silent:
            missing.append(f"{name} for: {','.join(silent)}")
    return "; ".join(missing)
