"""Ingress: stored and checked for whoever brings a controller; netemu routes nothing by it.

https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from typing import Any

from netemu.api import cells, meta, names
from netemu.api.cells import AGE, NAME, NONE, at
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.servicespec.rules import validate_status

_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"loadBalancer": {}}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    backend, rules = spec.get("defaultBackend"), spec.get("rules") or []
    if not rules and backend is None:
        message = "either `defaultBackend` or `rules` must be specified"
        causes.append(invalid("spec", rules, message))
    if backend is not None:
        causes += _check_backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        causes += _check_rule(rule, f"spec.rules[{index}]")
    for index, entry in enumerate(spec.get("tls") or ()):
        causes += _check_tls(entry, f"spec.tls[{index}]")
    name = spec.get("ingressClassName")
    if name is not None:
        wrong = names.dns1123_subdomain(name)
        causes += [invalid("spec.ingressClassName", name, why) for why in wrong]
    annotated = meta.annotations(obj).get(_ANNOTATION)
    if old is None and annotated is not None and name is not None and annotated != name:
        message = "must match `ingressClassName` when both are specified"
        causes.append(invalid(f"metadata.annotations[{_ANNOTATION}]", annotated, message))
    return causes


def _check_host(host: str, path: str) -> list[Cause]:
    if names.ip_version(host):
        return [invalid(path, host, "must be a DNS name, not an IP address")]
    check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    return [invalid(path, host, why) for why in check(host)]


def _check_rule(rule: Object, path: str) -> list[Cause]:
    causes = _check_host(rule["host"], f"{path}.host") if rule.get("host") else []
    http = rule.get("http")
    if http is None:
        return causes
    paths = http.get("paths") or []
    if not paths:
        causes.append(required(f"{path}.http.paths"))
    for index, entry in enumerate(paths):
        causes += _check_path(entry, f"{path}.http.paths[{index}]")
    return causes


def _check_path(entry: Object, path: str) -> list[Cause]:
    kind, text, where = entry.get("pathType"), entry.get("path") or "", f"{path}.path"
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    causes: list[Cause] = []
    if kind not in _PATH_TYPES:
        causes.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            causes.append(invalid(where, text, "must be an absolute path"))
    else:
        if not text.startswith("/"):
            causes.append(invalid(where, text, "must be an absolute path"))
        causes += [
            invalid(where, text, f"must not contain '{part}'")
            for part in _BAD_PARTS
            if part in text
        ]
        causes += [
            invalid(where, text, f"cannot end with '{end}'")
            for end in _BAD_ENDS
            if text.endswith(end)
        ]
    return causes + _check_backend(entry.get("backend") or {}, f"{path}.backend")


def _check_backend(backend: Object, path: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [
            required(f"{path}.resource.{key}") for key in ("kind", "name") if not resource.get(key)
        ]
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    return _check_service(service, f"{path}.service", path)


def _check_service(service: Object, path: str, backend: str) -> list[Cause]:
    causes: list[Cause] = []
    name = service.get("name") or ""
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += [invalid(f"{path}.name", name, why) for why in names.dns1035_label(name)]
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        causes.append(invalid(backend, "", "cannot set both port name & port number"))
    elif port.get("name"):
        wrong = names.port_name(port["name"])
        causes += [invalid(f"{path}.port.name", port["name"], why) for why in wrong]
    elif port.get("number"):
        wrong = names.port_number(port["number"])
        causes += [invalid(f"{path}.port.number", port["number"], why) for why in wrong]
    else:
        causes.append(required(backend, "port name or number is required"))
    return causes


def _check_tls(entry: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, host in enumerate(entry.get("hosts") or ()):
        causes += _check_host(host, f"{path}.hosts[{index}]")
    if entry.get("secretName"):
        wrong = names.dns1123_subdomain(entry["secretName"])
        causes += [invalid(f"{path}.secretName", entry["secretName"], why) for why in wrong]
    return causes


def _hosts(obj: Object, now: float) -> str:
    rules: list[Any] = (obj.get("spec") or {}).get("rules") or []
    found = [rule["host"] for rule in rules if rule.get("host")]
    return cells.with_more(found, 3, empty="*")


def _ports(obj: Object, now: float) -> str:
    return "80, 443" if (obj.get("spec") or {}).get("tls") else "80"


INGRESSES = Kind(
    group="networking.k8s.io",
    plural="ingresses",
    kind="Ingress",
    short_names=("ing",),
    storage="ingress",
    schema="io.k8s.api.networking.v1.Ingress",
    subresources=frozenset(("status",)),
    has_generation=True,
    prepare=_prepare,
    validate=_validate,
    validate_status=validate_status,
    columns=(
        NAME,
        Column("Class", at("spec", "ingressClassName", default=NONE)),
        Column("Hosts", _hosts),
        Column("Address", lambda obj, now: cells.load_balancer(obj)),
        Column("Ports", _ports),
        AGE,
    ),
)
