"""Endpoints: the older form of EndpointSlice, still written by hand for outside servers.

https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from typing import Any

from netemu.api import names
from netemu.api.cells import AGE, NAME, NONE, with_more
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.podspec.containers import PROTOCOLS
from netemu.api.servicespec.addresses import not_special


def _default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    causes: list[Cause] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        where = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            message = "must specify `addresses` or `notReadyAddresses`"
            causes.append(required(where, message))
        for group in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(group) or ()):
                causes += _check_address(address, f"{where}.{group}[{at}]")
        ports = subset.get("ports") or []
        for at, port in enumerate(ports):
            causes += _check_port(port, f"{where}.ports[{at}]", needs_name=len(ports) > 1)
    return causes


def _check_address(address: Object, path: str) -> list[Cause]:
    causes = not_special(address.get("ip") or "", f"{path}.ip")
    if address.get("hostname"):
        wrong = names.dns1123_label(address["hostname"])
        causes += [invalid(f"{path}.hostname", address["hostname"], why) for why in wrong]
    if address.get("nodeName") is not None:
        wrong = names.dns1123_subdomain(address["nodeName"])
        causes += [invalid(f"{path}.nodeName", address["nodeName"], why) for why in wrong]
    return causes


def _check_port(port: Object, path: str, *, needs_name: bool) -> list[Cause]:
    causes: list[Cause] = []
    name, number = port.get("name") or "", port.get("port") or 0
    if name:
        causes += [invalid(f"{path}.name", name, why) for why in names.dns1123_label(name)]
    elif needs_name:
        causes.append(required(f"{path}.name"))
    causes += [invalid(f"{path}.port", number, why) for why in names.port_number(number)]
    protocol = port.get("protocol") or ""
    if protocol not in PROTOCOLS:
        where = f"{path}.protocol"
        causes.append(not_supported(where, protocol, PROTOCOLS) if protocol else required(where))
    return causes


def listed(obj: Object, now: float = 0) -> str:
    """`10.0.0.1:80,10.0.0.2:80 + 1 more...`"""
    subsets = obj.get("subsets") or ()
    return with_more(_pairs(subsets), 3, empty="" if subsets else NONE)


def _pairs(subsets: Any) -> list[str]:
    shown = []
    for subset in subsets:
        addresses = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        if not subset.get("ports"):
            shown += addresses
        for port in subset.get("ports") or ():
            shown += [_joined(address, port.get("port")) for address in addresses]
    return shown


def _joined(address: str, port: Any) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


ENDPOINTS = Kind(
    plural="endpoints",
    kind="Endpoints",
    short_names=("ep",),
    storage="services/endpoints",
    schema="io.k8s.api.core.v1.Endpoints",
    default=_default,
    validate=_validate,
    columns=(NAME, Column("Endpoints", listed), AGE),
)
