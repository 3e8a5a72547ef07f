"""Lease: who leads, and which nodes are alive.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Column, Kind, Object


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        causes.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        message = "must be greater than or equal to 0"
        causes.append(invalid("spec.leaseTransitions", transitions, message))
    return causes


LEASES = Kind(
    group="coordination.k8s.io",
    plural="leases",
    kind="Lease",
    schema="io.k8s.api.coordination.v1.Lease",
    unconditional_update=False,
    validate=_validate,
    columns=(NAME, Column("Holder", at("spec", "holderIdentity")), AGE),
)
