"""Rules for containers, init containers and ephemeral containers.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import names
from netemu.api.invalid import duplicate, forbidden, invalid, not_found, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.podspec.environment import check_env, check_env_from
from netemu.api.podspec.probes import check_lifecycle, check_probe
from netemu.api.podspec.resources import check_resources
from netemu.api.podspec.security import check_container_security
from netemu.api.podspec.volumes import check_mounts

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_PROBES = (("livenessProbe", True), ("readinessProbe", False), ("startupProbe", True))
_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
)


def check_containers(spec: Object, volumes: Mapping[str, Object], path: str) -> list[Cause]:
    """All containers of a PodSpec at `path`; `volumes` by name."""
    containers = spec.get("containers") or []
    causes: list[Cause] = [] if containers else [required(f"{path}.containers")]
    seen: set[str] = set()
    host_ports: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        causes += _check_container(container, volumes, seen, where)
        causes += _check_host_ports(container, host_ports, where)
        if container.get("restartPolicy") is not None:
            causes += _check_restart(container, f"{where}.restartPolicy")
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        causes += _check_container(container, volumes, seen, where)
        causes += _check_host_ports(container, set(), where)
        causes += _check_init(container, where)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        causes += _check_ephemeral(container, volumes, seen, f"{path}.ephemeralContainers[{index}]")
    return causes


def _check_container(
    container: Object, volumes: Mapping[str, Object], seen: set[str], path: str
) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name") or ""
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += [invalid(f"{path}.name", name, why) for why in names.dns1123_label(name)]
    if name in seen:
        causes.append(duplicate(f"{path}.name", name))
    seen.add(name)
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    if container.get("lifecycle") is not None:
        causes += check_lifecycle(container["lifecycle"], f"{path}.lifecycle")
    for probe, one_success in _PROBES:
        if container.get(probe) is not None:
            causes += check_probe(container[probe], f"{path}.{probe}", one_success=one_success)
    causes += _check_policies(container, path)
    if container.get("ports"):
        causes += check_ports(container["ports"], f"{path}.ports")
    if container.get("env"):
        causes += check_env(container["env"], f"{path}.env")
    if container.get("envFrom"):
        causes += check_env_from(container["envFrom"], f"{path}.envFrom")
    if container.get("volumeMounts") or container.get("volumeDevices"):
        causes += check_mounts(container, volumes, path)
    if container.get("securityContext"):
        causes += check_container_security(container["securityContext"], f"{path}.securityContext")
    if container.get("resources"):
        causes += check_resources(container["resources"], f"{path}.resources")
    return causes


def _check_policies(container: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    pull = container.get("imagePullPolicy") or ""
    if pull not in _PULL_POLICIES:
        where = f"{path}.imagePullPolicy"
        causes.append(not_supported(where, pull, _PULL_POLICIES) if pull else required(where))
    message = container.get("terminationMessagePolicy") or ""
    if message not in _MESSAGE_POLICIES:
        where, why = f"{path}.terminationMessagePolicy", "must be 'File' or 'FallbackToLogsOnError'"
        causes.append(invalid(where, message, why) if message else required(where, why))
    return causes


def check_ports(ports: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        name, number = port.get("name"), port.get("containerPort") or 0
        if name:
            wrong = names.port_name(name)
            causes += [invalid(f"{where}.name", name, why) for why in wrong]
            if not wrong and name in seen:
                causes.append(duplicate(f"{where}.name", name))
            seen.add(name)
        if number == 0:
            causes.append(required(f"{where}.containerPort"))
        else:
            wrong = names.port_number(number)
            causes += [invalid(f"{where}.containerPort", number, why) for why in wrong]
        if port.get("hostPort"):
            wrong = names.port_number(port["hostPort"])
            causes += [invalid(f"{where}.hostPort", port["hostPort"], why) for why in wrong]
        protocol = port.get("protocol") or ""
        if protocol not in PROTOCOLS:
            at = f"{where}.protocol"
            causes.append(not_supported(at, protocol, PROTOCOLS) if protocol else required(at))
        if port.get("hostIP"):
            wrong = names.ip(port["hostIP"])
            causes += [invalid(f"{where}.hostIP", port["hostIP"], why) for why in wrong]
    return causes


def _check_host_ports(container: Object, taken: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, port in enumerate(container.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
        if key in taken:
            causes.append(duplicate(f"{path}.ports[{index}].hostPort", key))
        taken.add(key)
    return causes


def _check_restart(container: Object, path: str) -> list[Cause]:
    """Per-container restart policies; on an init container, Always makes it a sidecar."""
    allowed = ("Always", "Never", "OnFailure")
    policy = container["restartPolicy"]
    return [] if policy in allowed else [not_supported(path, policy, allowed)]


def _check_init(container: Object, path: str) -> list[Cause]:
    """Init containers end, so nothing may ask how they live; sidecars (KEP-753) stay."""
    causes: list[Cause] = []
    policy = container.get("restartPolicy")
    if policy is not None:
        causes += _check_restart(container, f"{path}.restartPolicy")
    if policy == "Always":
        return causes
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            message = "may not be set for init containers without restartPolicy=Always"
            causes.append(forbidden(f"{path}.{key}", message))
    return causes


def _check_ephemeral(
    container: Object, volumes: Mapping[str, Object], seen: set[str], path: str
) -> list[Cause]:
    causes: list[Cause] = []
    target = container.get("targetContainerName")
    if target and target not in seen:
        causes.append(not_found(f"{path}.targetContainerName", target))
    causes += _check_container(container, volumes, seen, path)
    causes += [
        forbidden(f"{path}.{key}", "cannot be set for an Ephemeral Container")
        for key in _NOT_EPHEMERAL
        if container.get(key)
    ]
    return causes
