"""IPAddress: which Service holds an address of the service range (KEP-1880).

https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import ipaddress

from netemu.api import meta, names
from netemu.api.cells import AGE, NAME
from netemu.api.invalid import invalid, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import immutable


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    name = meta.name(obj)
    causes: list[Cause] = []
    if not names.ip_version(name) or str(ipaddress.ip_address(name)) != name:
        message = "must be an IP address in canonical form"
        causes.append(invalid("metadata.name", name, message))
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        causes.append(required("spec.parentRef"))
    else:
        causes += [
            required(f"spec.parentRef.{key}") for key in ("resource", "name") if not parent.get(key)
        ]
    return causes + (immutable(obj, old, "parentRef") if old is not None else [])


def _parent(obj: Object, now: float) -> str:
    found = (obj.get("spec") or {}).get("parentRef") or {}
    group = f".{found['group']}" if found.get("group") else ""
    space = f"{found['namespace']}/" if found.get("namespace") else ""
    return f"{found.get('resource', '')}{group}/{space}{found.get('name', '')}"


IP_ADDRESSES = Kind(
    group="networking.k8s.io",
    plural="ipaddresses",
    kind="IPAddress",
    namespaced=False,
    short_names=("ip",),
    schema="io.k8s.api.networking.v1.IPAddress",
    name_rule="path-segment",
    has_generation=True,
    validate=_validate,
    columns=(NAME, Column("ParentRef", _parent), AGE),
)
