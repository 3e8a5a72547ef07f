"""EndpointSlice (KEP-752): up to 1,000 addresses behind a Service; what proxies and DNS read.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from netemu.api import names
from netemu.api.cells import AGE, NAME, at, with_more
from netemu.api.invalid import duplicate, invalid, not_supported, required, too_many
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import IMMUTABLE
from netemu.api.podspec.containers import PROTOCOLS
from netemu.api.servicespec.addresses import not_special, unmapped

TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_HINTS = 8


def _default(obj: Object) -> None:
    if obj.get("endpoints") is None:
        obj["endpoints"] = []
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    family = obj.get("addressType") or ""
    causes: list[Cause] = []
    if family not in TYPES:
        where = "addressType"
        causes.append(not_supported(where, family, TYPES) if family else required(where))
    if old is not None and family != old.get("addressType"):
        causes.append(invalid("addressType", family, IMMUTABLE))
    return (
        causes
        + _check_endpoints(obj.get("endpoints") or [], family)
        + _check_ports(obj.get("ports") or [])
    )


def _check_endpoints(endpoints: list[Any], family: str) -> list[Cause]:
    if len(endpoints) > MAX_ENDPOINTS:
        return [too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
    causes: list[Cause] = []
    for index, endpoint in enumerate(endpoints):
        where = f"endpoints[{index}]"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            causes.append(required(f"{where}.addresses", "must contain at least 1 address"))
        elif len(addresses) > MAX_ADDRESSES:
            causes.append(too_many(f"{where}.addresses", len(addresses), MAX_ADDRESSES))
        for at_, address in enumerate(addresses):
            causes += _check_address(address, family, f"{where}.addresses[{at_}]")
        if endpoint.get("nodeName") is not None:
            wrong = names.dns1123_subdomain(endpoint["nodeName"])
            causes += [invalid(f"{where}.nodeName", endpoint["nodeName"], why) for why in wrong]
        if endpoint.get("hostname") is not None:
            wrong = names.dns1123_label(endpoint["hostname"])
            causes += [invalid(f"{where}.hostname", endpoint["hostname"], why) for why in wrong]
        causes += _check_hints(endpoint.get("hints") or {}, f"{where}.hints")
    return causes


def _check_address(address: str, family: str, path: str) -> list[Cause]:
    if family == "FQDN":
        wrong = names.dns1123_subdomain(address.removesuffix("."))
        if not wrong and "." not in address.removesuffix("."):
            wrong = ["should be a domain with at least two segments separated by dots"]
        return [invalid(path, address, why) for why in wrong]
    version = {"IPv4": 4, "IPv6": 6}.get(family)
    if not version:
        return []
    if names.ip_version(address) != version or unmapped(ip_address(address)).version != version:
        return [invalid(path, address, f"must be a valid {family} address")]
    return not_special(address, path)


def _check_hints(hints: Object, path: str) -> list[Cause]:
    zones, nodes = hints.get("forZones") or [], hints.get("forNodes") or []
    return [
        *_check_hinted(zones, f"{path}.forZones", names.label_value),
        *_check_hinted(nodes, f"{path}.forNodes", names.dns1123_subdomain),
    ]


def _check_hinted(hinted: list[Any], path: str, rule: Callable[[str], list[str]]) -> list[Cause]:
    if len(hinted) > MAX_HINTS:
        return [too_many(path, len(hinted), MAX_HINTS)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, each in enumerate(hinted):
        where, name = f"{path}[{index}].name", each.get("name") or ""
        if name in seen:
            causes.append(duplicate(where, name))
        seen.add(name)
        causes += [invalid(where, name, why) for why in rule(name)]
    return causes


def _check_ports(ports: list[Any]) -> list[Cause]:
    if len(ports) > MAX_PORTS:
        return [too_many("ports", len(ports), MAX_PORTS)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"ports[{index}]"
        name, protocol = port.get("name") or "", port.get("protocol") or ""
        if name:
            causes += [invalid(f"{where}.name", name, why) for why in names.dns1123_label(name)]
        if name in seen:
            causes.append(duplicate(f"{where}.name", name))
        seen.add(name)
        if port.get("port") is not None:
            wrong = names.port_number(port["port"])
            causes += [invalid(f"{where}.port", port["port"], why) for why in wrong]
        if protocol not in PROTOCOLS:
            spot = f"{where}.protocol"
            wrong_protocol = not_supported(spot, protocol, PROTOCOLS)
            causes.append(wrong_protocol if protocol else required(spot))
        application = port.get("appProtocol")
        if application is not None:
            wrong = names.qualified_name(application)
            causes += [invalid(f"{where}.appProtocol", application, why) for why in wrong]
    return causes


def _ports(obj: Object, now: float) -> str:
    return with_more(
        (
            str(port.get("port")) if port.get("port") is not None else port.get("name") or "*"
            for port in obj.get("ports") or ()
        ),
        3,
    )


def _addresses(obj: Object, now: float) -> str:
    return with_more(
        (
            address
            for endpoint in obj.get("endpoints") or ()
            for address in endpoint.get("addresses") or ()
        ),
        3,
    )


ENDPOINT_SLICES = Kind(
    group="discovery.k8s.io",
    plural="endpointslices",
    kind="EndpointSlice",
    schema="io.k8s.api.discovery.v1.EndpointSlice",
    aliases=(("discovery.k8s.io", "v1beta1"),),
    has_generation=True,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("AddressType", at("addressType")),
        Column("Ports", _ports),
        Column("Endpoints", _addresses),
        AGE,
    ),
)
