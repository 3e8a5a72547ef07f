"""PriorityClass: a name for how important pods are, and whether they push others out.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.cells import AGE, NAME, at, integer
from netemu.api.invalid import forbidden, invalid, not_supported
from netemu.api.kind import Cause, Column, Kind, Object

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _default(obj: Object) -> None:
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    name, value = meta.name(obj), obj.get("value") or 0
    causes: list[Cause] = []
    if name.startswith("system-") and SYSTEM.get(name) != value:
        message = (
            "priority class names with 'system-' prefix are reserved for system use only. error: "
            f"{name} is not a known system priority class"
        )
        causes.append(forbidden("metadata.name", message))
    elif not name.startswith("system-") and value > HIGHEST_USER_PRIORITY:
        message = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        causes.append(forbidden("value", message))
    policy = obj.get("preemptionPolicy")
    if policy not in ("Never", "PreemptLowerPriority"):
        known = ("PreemptLowerPriority", "Never")
        causes.append(not_supported("preemptionPolicy", policy, known))
    if old is not None:
        if value != (old.get("value") or 0):
            causes.append(forbidden("value", "may not be changed in an update."))
        if policy != old.get("preemptionPolicy"):
            causes.append(invalid("preemptionPolicy", policy, "field is immutable"))
    return causes


PRIORITY_CLASSES = Kind(
    group="scheduling.k8s.io",
    plural="priorityclasses",
    kind="PriorityClass",
    namespaced=False,
    short_names=("pc",),
    schema="io.k8s.api.scheduling.v1.PriorityClass",
    has_generation=True,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        integer("Value", "value"),
        Column("Global-Default", at("globalDefault", default=False), type="boolean"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy", default="")),
    ),
)
