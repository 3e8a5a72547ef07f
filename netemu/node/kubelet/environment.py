"""A container's environment: Services, envFrom, env with $(VAR), fields of the pod.

https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from netemu.api import meta, quantity
from netemu.api.kind import Object

_SUBSCRIPT = re.compile(r"(.+)\['(.*)'\]")
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))?")


class MissingReference(Exception):
    """A ConfigMap, Secret or key that is not there: CreateContainerConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What is only known on the node, for fieldRef and resourceFieldRef."""

    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] | None = None


Lookup = Mapping[tuple[str, str], Object | None]
"""(kind, name) → ConfigMap or Secret; None when there is none."""


def references(container: Object) -> list[tuple[str, str]]:
    """The ConfigMaps and Secrets that a container's environment needs, as (kind, name)."""
    found = []
    for source in container.get("envFrom") or ():
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if source.get(key):
                found.append((kind, source[key].get("name", "")))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if source.get(key):
                found.append((kind, source[key].get("name", "")))
    return list(dict.fromkeys(found))


def compile_environment(
    pod: Object, container: Object, facts: PodFacts, services: Iterable[Object], lookup: Lookup
) -> dict[str, str]:
    """All variables of one container. Raises MissingReference."""
    links = pod["spec"].get("enableServiceLinks", True)
    offered = service_variables(services, meta.namespace(pod), all_of_namespace=bool(links))
    result = _from_sources(container, lookup)
    for variable in container.get("env") or ():
        value = _value(pod, container, variable, facts, lookup, {**offered, **result})
        if value is not None:
            result[variable["name"]] = value
    return {**offered, **result}


def _from_sources(container: Object, lookup: Lookup) -> dict[str, str]:
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            reference = source.get(key)
            if not reference:
                continue
            found = lookup.get((kind, reference.get("name", "")))
            if found is None:
                if reference.get("optional"):
                    continue
                raise MissingReference(_missing(kind, reference.get("name", "")))
            for name, value in data_of(kind, found).items():
                result[prefix + name] = value.decode("utf-8", "replace")
    return result


def _value(
    pod: Object,
    container: Object,
    variable: Object,
    facts: PodFacts,
    lookup: Lookup,
    known: Mapping[str, str],
) -> str | None:
    """One variable's value; None leaves it out."""
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"].get("fieldPath", ""), facts)
    if source.get("resourceFieldRef"):
        return resource_value(pod, container, source["resourceFieldRef"], facts)
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if source.get(key):
            return _key_value(pod, kind, source[key], lookup)
    return ""


def _key_value(pod: Object, kind: str, reference: Object, lookup: Lookup) -> str | None:
    name, key = reference.get("name", ""), reference["key"]
    found = lookup.get((kind, name))
    if found is None:
        if reference.get("optional"):
            return None
        raise MissingReference(_missing(kind, name))
    data = data_of(kind, found)
    if key not in data:
        if reference.get("optional"):
            return None
        raise MissingReference(f"couldn't find key {key} in {kind} {meta.namespace(pod)}/{name}")
    return data[key].decode("utf-8", "replace")


def _missing(kind: str, name: str) -> str:
    return f'{kind.lower()} "{name}" not found'


def data_of(kind: str, obj: Object) -> dict[str, bytes]:
    """The keys of a ConfigMap or a Secret, decoded."""
    encoded = obj.get("data") if kind == "Secret" else obj.get("binaryData")
    result = {key: base64.b64decode(value) for key, value in (encoded or {}).items()}
    if kind == "ConfigMap":
        result |= {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return result


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; $$ is a dollar; what is not known stays as written."""

    def replace(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        name = found[2]
        return known.get(name, found[0]) if name is not None else found[0]

    return _REFERENCE.sub(replace, text) if "$" in text else text


def field_value(pod: Object, path: str, facts: PodFacts) -> str:
    """What fieldRef `path` stands for, also in downwardAPI volumes."""
    on_node = {
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
    }
    if path in on_node:
        return on_node[path]
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        parts, key = subscript[1].split("."), subscript[2]
        found: Any = _walk(pod, parts) or {}
        return str(found.get(key, ""))
    found = _walk(pod, path.split("."))
    if isinstance(found, dict):
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(found.items()))
    return "" if found is None else str(found)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _walk(obj: Any, parts: list[str]) -> Any:
    for part in parts:
        obj = obj.get(part) if isinstance(obj, dict) else None
    if obj is None and parts == ["spec", "serviceAccountName"]:
        return "default"
    return obj


def resource_value(pod: Object, container: Object, reference: Object, facts: PodFacts) -> str:
    """A container's own request or limit, in units of the divisor, rounded up."""
    named = reference.get("containerName")
    if named:
        every = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        container = next((each for each in every if each["name"] == named), container)
    side, _, resource = reference["resource"].partition(".")
    amounts = (container.get("resources") or {}).get(side) or {}
    amount = amounts.get(resource)
    if amount is None and side == "limits":
        amount = (facts.allocatable or {}).get(resource)
    divisor = quantity.parse(reference.get("divisor") or "0") or Fraction(1)
    return str(ceil(quantity.parse(amount or "0") / divisor))


def service_variables(
    services: Iterable[Object], namespace: str, *, all_of_namespace: bool = True
) -> dict[str, str]:
    """Variables for the Services of the pod's namespace, and always for the API's."""
    chosen: dict[str, Object] = {}
    for service in services:
        spec, name = service.get("spec") or {}, meta.name(service)
        if (spec.get("clusterIP") or "None") == "None" or not spec.get("ports"):
            continue
        if meta.namespace(service) == namespace and all_of_namespace:
            chosen[name] = service
        elif meta.namespace(service) == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result |= _variables_of(name, chosen[name]["spec"])
    return result


def _variables_of(name: str, spec: Object) -> dict[str, str]:
    address, ports = spec["clusterIP"], spec["ports"]
    head = name.upper().replace("-", "_")
    result = {f"{head}_SERVICE_HOST": address, f"{head}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            label = port["name"].upper().replace("-", "_")
            result[f"{head}_SERVICE_PORT_{label}"] = str(port["port"])
    bracketed = f"[{address}]" if ":" in address else address
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol") or "TCP", port["port"]
        url = f"{protocol.lower()}://{bracketed}:{number}"
        if index == 0:
            result[f"{head}_PORT"] = url
        prefix = f"{head}_PORT_{number}_{protocol.upper()}"
        result[prefix] = url
        result[f"{prefix}_PROTO"] = protocol.lower()
        result[f"{prefix}_PORT"] = str(number)
        result[f"{prefix}_ADDR"] = address
    return result
