"""ServiceCIDR: ranges for Service addresses (KEP-1880).

https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/
"""

from __future__ import annotations

import ipaddress

from netemu.api import names
from netemu.api.cells import AGE, NAME
from netemu.api.invalid import invalid, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import IMMUTABLE


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    cidrs = (obj.get("spec") or {}).get("cidrs") or []
    causes: list[Cause] = []
    if not cidrs:
        causes.append(required("spec.cidrs", "at least one CIDR required"))
    if len(cidrs) > 2:
        message = "must only specify one or two values"
        causes.append(invalid("spec.cidrs", cidrs, message))
    for index, cidr in enumerate(cidrs):
        where = f"spec.cidrs[{index}]"
        if names.cidr(cidr):
            causes += [invalid(where, cidr, why) for why in names.cidr(cidr)]
        elif str(ipaddress.ip_network(cidr, strict=False)) != cidr:
            message = f'must be in canonical form ("{ipaddress.ip_network(cidr, strict=False)}")'
            causes.append(invalid(where, cidr, message))
    if len(cidrs) == 2 and len({":" in cidr for cidr in cidrs}) == 1:
        message = (
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
            "2001:db8::/64"
        )
        causes.append(invalid("spec.cidrs", cidrs, message))
    if old is not None:
        before = (old.get("spec") or {}).get("cidrs") or []
        if before != cidrs[: len(before)]:
            causes.append(invalid("spec.cidrs", cidrs, IMMUTABLE))
    return causes


SERVICE_CIDRS = Kind(
    group="networking.k8s.io",
    plural="servicecidrs",
    kind="ServiceCIDR",
    namespaced=False,
    schema="io.k8s.api.networking.v1.ServiceCIDR",
    subresources=frozenset(("status",)),
    has_generation=True,
    validate=_validate,
    columns=(
        NAME,
        Column("CIDRs", lambda obj, now: ",".join((obj.get("spec") or {}).get("cidrs") or ())),
        AGE,
    ),
)
