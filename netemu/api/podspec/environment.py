"""Rules for a container's environment variables and where they come from.

https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
"""

from __future__ import annotations

import re
from typing import Any

from netemu.api import names, quantity
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Object

ENV_FIELDS = frozenset(
    (
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    )
)
VOLUME_FIELDS = frozenset(
    (
        "metadata.name",
        "metadata.namespace",
        "metadata.labels",
        "metadata.annotations",
        "metadata.uid",
    )
)
_LABELS = (
    ENV_FIELDS
    | VOLUME_FIELDS
    | {"spec.restartPolicy", "spec.schedulerName", "spec.hostNetwork", "status.phase"}
)
"""Field labels that pods have, of which each place takes only some."""
RESOURCES = frozenset(
    f"{side}.{resource}"
    for side in ("limits", "requests")
    for resource in ("cpu", "memory", "ephemeral-storage")
)
_UNITS = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def check_env(variables: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, variable in enumerate(variables):
        where = f"{path}[{index}]"
        name = variable.get("name")
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid(f"{where}.name", name, why) for why in names.env_name(name)]
        if variable.get("valueFrom") is not None:
            causes += _check_source(variable, f"{where}.valueFrom")
    return causes


def _check_source(variable: Object, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    causes: list[Cause] = []
    if source.get("fieldRef") is not None:
        causes += check_field(source["fieldRef"], ENV_FIELDS, f"{path}.fieldRef")
    if source.get("resourceFieldRef") is not None:
        causes += check_resource_field(source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for named in ("configMapKeyRef", "secretKeyRef"):
        if source.get(named) is not None:
            causes += _check_key(source[named], f"{path}.{named}")
    count = sum(source.get(named) is not None for named in _SOURCES)
    if count == 0:
        choices = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        causes.append(invalid(path, "", f"must specify one of: {choices}"))
    elif variable.get("value"):
        causes.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        causes.append(invalid(path, "", "may not have more than one field specified at a time"))
    return causes


def check_field(reference: Object, fields: frozenset[str], path: str) -> list[Cause]:
    """A downward API field reference."""
    named = reference.get("fieldPath")
    if not named:
        return [required(f"{path}.fieldPath")]
    found = _SUBSCRIPT.fullmatch(named)
    if not found:
        where = f"{path}.fieldPath"
        if named in fields:
            return []
        if named in _LABELS:
            return [not_supported(where, named, fields)]
        message = f"error converting fieldPath: field label not supported: {named}"
        return [invalid(where, named, message)]
    base, key = found.groups()
    if base == "metadata.annotations":
        return [invalid(path, key, why) for why in names.qualified_name(key.lower())]
    if base == "metadata.labels":
        return [invalid(path, key, why) for why in names.qualified_name(key)]
    return [invalid(path, base, "does not support subscript")]


def check_resource_field(reference: Object, path: str, *, volume: bool = False) -> list[Cause]:
    resource = reference.get("resource") or ""
    if volume and not reference.get("containerName"):
        return [required(f"{path}.containerName")]
    if not resource:
        return [required(f"{path}.resource")]
    if resource not in RESOURCES and ".hugepages-" not in resource:
        return [not_supported(f"{path}.resource", resource, RESOURCES)]
    divisor = quantity.canonical(reference.get("divisor") or "0")
    if resource.endswith(".cpu"):
        allowed, what = "1m and 1", "the cpu resource"
        fine = divisor in ("0", "1m", "1")
    else:
        local = resource.endswith(".ephemeral-storage")
        allowed, what = (
            _UNITS,
            "the local ephemeral storage resource" if local else ("the memory resource"),
        )
        fine = divisor == "0" or divisor in _UNITS.split(", ")
    if fine:
        return []
    message = f"only divisor's values {allowed} are supported with {what}"
    return [invalid(f"{path}.divisor", resource, message)]


def _check_key(selector: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    name, key = selector.get("name") or "", selector.get("key")
    causes += [invalid(f"{path}.name", name, why) for why in names.dns1123_subdomain(name)]
    if not key:
        causes.append(required(f"{path}.key"))
    else:
        causes += [invalid(f"{path}.key", key, why) for why in names.config_key(key)]
    return causes


def check_env_from(sources: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        if source.get("prefix"):
            prefix = source["prefix"]
            causes += [invalid(f"{where}.prefix", prefix, why) for why in names.env_name(prefix)]
        given = [ref for ref in ("configMapRef", "secretRef") if source.get(ref) is not None]
        for ref in given:
            name = source[ref].get("name")
            if not name:
                causes.append(required(f"{where}.{ref}.name"))
            else:
                wrong = names.dns1123_subdomain(name)
                causes += [invalid(f"{where}.{ref}.name", name, why) for why in wrong]
        if not given:
            message = "must specify one of: `configMapRef` or `secretRef`"
            causes.append(invalid(path, "", message))
        elif len(given) > 1:
            message = "may not have more than one field specified at a time"
            causes.append(invalid(path, "", message))
    return causes
