"""NetworkPolicy: stored and checked for whoever brings an engine; netemu enforces none.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import ipaddress
from typing import Any

from netemu.api import names
from netemu.api.cells import AGE, NAME, selector
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.labelrules import check_label_selector
from netemu.api.podspec.probes import check_port

_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            if port.get("protocol") is None:
                port["protocol"] = "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_label_selector(spec.get("podSelector") or {}, "spec.podSelector")
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            causes += _check_rule(rule, side, f"spec.{direction}[{index}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(_TYPES):
        message = "may not specify more than two policyTypes"
        return [*causes, invalid("spec.policyTypes", types, message)]
    causes += [
        not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)
        for index, kind in enumerate(types)
        if kind not in _TYPES
    ]
    return causes


def _check_rule(rule: Object, side: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, port in enumerate(rule.get("ports") or ()):
        causes += _check_port(port, f"{path}.ports[{index}]")
    for index, peer in enumerate(rule.get(side) or ()):
        causes += _check_peer(peer, f"{path}.{side}[{index}]")
    return causes


def _check_port(entry: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    protocol, port, end = entry.get("protocol"), entry.get("port"), entry.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        causes.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if port is not None:
        causes += check_port(port, f"{path}.port")
    if end is None:
        return causes
    if port is None:
        message = "may not be specified when `port` is not specified"
        causes.append(invalid(f"{path}.endPort", end, message))
    elif isinstance(port, str):
        message = "may not be specified when `port` is non-numeric"
        causes.append(invalid(f"{path}.endPort", end, message))
    elif end < port:
        message = "must be greater than or equal to `port`"
        causes.append(invalid(f"{path}.endPort", end, message))
    else:
        causes += [invalid(f"{path}.endPort", end, why) for why in names.port_number(end)]
    return causes


def _check_peer(peer: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    given = [
        key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None
    ]
    for key in given:
        if key == "ipBlock":
            causes += _check_block(peer[key], f"{path}.{key}")
        else:
            causes += check_label_selector(peer[key], f"{path}.{key}")
    if not given:
        causes.append(required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        causes.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return causes


def _check_block(block: Object, path: str) -> list[Cause]:
    cidr = block.get("cidr") or ""
    if not cidr:
        return [required(f"{path}.cidr")]
    if names.cidr(cidr):
        return [invalid(f"{path}.cidr", cidr, "not a valid CIDR")]
    causes: list[Cause] = []
    for index, inner in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        if names.cidr(inner):
            causes.append(invalid(where, inner, "not a valid CIDR"))
        elif not _strictly_inside(inner, cidr):
            causes.append(invalid(where, inner, "must be a strict subset of `cidr`"))
    return causes


def _strictly_inside(inner: str, outer: str) -> bool:
    small: Any = ipaddress.ip_network(inner, strict=False)
    large: Any = ipaddress.ip_network(outer, strict=False)
    if small.version != large.version or small.prefixlen <= large.prefixlen:
        return False
    return bool(small.subnet_of(large))


NETWORK_POLICIES = Kind(
    group="networking.k8s.io",
    plural="networkpolicies",
    kind="NetworkPolicy",
    short_names=("netpol",),
    schema="io.k8s.api.networking.v1.NetworkPolicy",
    has_generation=True,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column(
            "Pod-Selector",
            lambda obj, now: selector((obj.get("spec") or {}).get("podSelector")),
        ),
        AGE,
    ),
)
