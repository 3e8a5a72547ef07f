"""Node: the machine that a kubelet stands for, its addresses, ranges and conditions.

https://kubernetes.io/docs/concepts/architecture/nodes/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import meta, names
from netemu.api.cells import AGE, NAME, NONE, at
from netemu.api.invalid import duplicate, forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.podspec.resources import check_quantity
from netemu.api.podspec.scheduling import TAINT_EFFECTS

_ROLE_PREFIX = "node-role.kubernetes.io/"
UNKNOWN = "<unknown>"


def _default(obj: Object) -> None:
    status = obj.get("status") or {}
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])


def _prepare(obj: Object, old: Object | None) -> None:
    """`podCIDR` is the first of `podCIDRs`: whichever was given sets the other."""
    spec = obj.get("spec") or {}
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _check_taints(spec.get("taints") or [])
    cidrs = spec.get("podCIDRs") or []
    for index, cidr in enumerate(cidrs):
        if names.cidr(cidr):
            causes.append(invalid(f"spec.podCIDRs[{index}]", cidr, "must be valid CIDR"))
    if len(cidrs) > len({":" in cidr for cidr in cidrs}):
        message = "may specify no more than one CIDR for each IP family"
        causes.append(invalid("spec.podCIDRs", cidrs, message))
    causes += _check_amounts(obj)
    return causes + _check_update(spec, old)


def _check_amounts(obj: Object) -> list[Cause]:
    status = obj.get("status") or {}
    return [
        cause
        for side in ("capacity", "allocatable")
        for name, amount in (status.get(side) or {}).items()
        for cause in check_quantity(amount, f"status.{side}.{name}")
    ]


def _check_update(spec: Object, old: Object | None) -> list[Cause]:
    before = (old or {}).get("spec") or {}
    causes: list[Cause] = []
    if before.get("podCIDRs") and before["podCIDRs"] != spec.get("podCIDRs"):
        message = 'node updates may not change podCIDR except from "" to valid'
        causes.append(forbidden("spec.podCIDRs", message))
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        message = 'node updates may not change providerID except from "" to valid'
        causes.append(forbidden("spec.providerID", message))
    return causes


def _check_taints(taints: list[Any]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where = f"spec.taints[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        causes += [invalid(f"{where}.key", key, why) for why in names.qualified_name(key)]
        value = taint.get("value") or ""
        causes += [invalid(f"{where}.value", value, why) for why in names.label_value(value)]
        if not effect:
            causes.append(required(f"{where}.effect"))
        elif effect not in TAINT_EFFECTS:
            causes.append(not_supported(f"{where}.effect", effect, TAINT_EFFECTS))
        if (key, effect) in seen:
            causes.append(duplicate(where, taint))
        seen.add((key, effect))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    causes = _check_amounts(obj)
    seen: list[Any] = []
    for index, address in enumerate((obj.get("status") or {}).get("addresses") or ()):
        if address in seen:
            causes.append(duplicate(f"status.addresses[{index}]", address))
        seen.append(address)
    return causes


def status(obj: Object, now: float = 0) -> str:
    """`Ready`, `NotReady` or `Unknown`, and whether it takes pods."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    word = "Unknown"
    for condition in conditions:
        if condition.get("type") == "Ready":
            word = "Ready" if condition.get("status") == "True" else "NotReady"
    blocked = (obj.get("spec") or {}).get("unschedulable")
    return f"{word},SchedulingDisabled" if blocked else word


def roles(obj: Object, now: float = 0) -> str:
    found = set()
    for label, value in meta.labels(obj).items():
        if label.startswith(_ROLE_PREFIX) and len(label) > len(_ROLE_PREFIX):
            found.add(label.removeprefix(_ROLE_PREFIX))
        elif label == "kubernetes.io/role" and value:
            found.add(value)
    return ",".join(sorted(found)) or NONE


def address(obj: Object, kind: str) -> str:
    """The node's first address of that type; `<none>` without one."""
    for item in (obj.get("status") or {}).get("addresses") or ():
        if item.get("type") == kind:
            return str(item.get("address"))
    return NONE


def _fields(obj: Object) -> Mapping[str, str]:
    blocked = (obj.get("spec") or {}).get("unschedulable")
    return {"spec.unschedulable": "true" if blocked else "false"}


def _info(name: str, key: str, priority: int = 1, default: str = UNKNOWN) -> Column:
    found = at("status", "nodeInfo", key, default=default)
    return Column(name, lambda obj, now: found(obj, now) or default, priority=priority)


NODES = Kind(
    plural="nodes",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    storage="minions",
    schema="io.k8s.api.core.v1.Node",
    subresources=frozenset(("proxy", "status")),
    keeps_status=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    fields=_fields,
    columns=(
        NAME,
        Column("Status", status, description="The status of the node"),
        Column("Roles", roles, description="The roles of the node"),
        AGE,
        _info("Version", "kubeletVersion", priority=0, default=""),
        Column("Internal-IP", lambda obj, now: address(obj, "InternalIP"), priority=1),
        Column("External-IP", lambda obj, now: address(obj, "ExternalIP"), priority=1),
        _info("OS-Image", "osImage"),
        _info("Kernel-Version", "kernelVersion"),
        _info("Container-Runtime", "containerRuntimeVersion"),
    ),
)
