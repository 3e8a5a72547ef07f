"""From a PodSpec's container to what a runtime is asked to run. Pure, but for looking images up.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netemu.api import meta, quantity
from netemu.api.kind import Object
from netemu.node.images import Port, Program, StandIn
from netemu.node.kubelet.dnsconfig import hostname
from netemu.node.kubelet.environment import expand
from netemu.node.kubelet.selfsigned import self_signed
from netemu.node.kubelet.states import ContainerState, notes

PORTER = ("SERVE_PORT_", "SERVE_TLS_PORT_")
"""Environment variables of agnhost's porter begin with one of these; a port's number follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContext:
    """What all containers of a pod have in common here."""

    node: str
    log_directory: str
    ips: Sequence[str] = ()
    limits: Sequence[str] = ()
    """Resources that this machine can limit."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def declared_ports(container: Object) -> tuple[Port, ...]:
    return tuple(
        Port(port=port["containerPort"], protocol=port.get("protocol") or "TCP")
        for port in container.get("ports") or ()
        if (port.get("protocol") or "TCP") in ("TCP", "UDP")
    )


def log_path(context: PodContext, state: ContainerState) -> str:
    return f"{context.log_directory}/{state.name}/{state.restarts}.log"


def process_spec(
    pod: Object,
    state: ContainerState,
    program: Program,
    environment: Mapping[str, str],
    mounts: Sequence[Object],
    context: PodContext,
) -> Object:
    """The supervisor's specification (see `supervisor/launch.py`)."""
    container = state.spec
    named = meta.name(pod)
    argv = [expand(word, environment).replace("{pod}", named) for word in program.argv]
    spec: Object = {
        "id": state.id,
        "pod": meta.uid(pod),
        "name": state.name,
        "meta": notes(state),
        "argv": argv,
        "env": {"HOSTNAME": _host(pod, context), **program.env, **environment},
        "log": log_path(context, state),
        "cwd": container.get("workingDir") or program.cwd or "/",
    }
    if program.rootfs:
        spec["rootfs"] = program.rootfs
    binds = [{"source": path, "target": path} for path in program.binds]
    if mounts or binds:
        spec["mounts"] = [*binds, *mounts]
    for flag in ("stdin", "tty"):
        if container.get(flag):
            spec[flag] = True
    limits = resource_limits(container, context.limits)
    if limits:
        spec["limits"] = limits
    return {**spec, **rights(pod, container)}


def _host(pod: Object, context: PodContext) -> str:
    return context.node if pod["spec"].get("hostNetwork") else hostname(pod)


def standin_spec(
    pod: Object,
    state: ContainerState,
    standin: StandIn,
    environment: Mapping[str, str],
    context: PodContext,
) -> Object:
    """The stand-ins' specification (see `standins/container.py`)."""
    identity = {
        "pod": meta.name(pod),
        "namespace": meta.namespace(pod),
        "node": context.node,
        "ip": context.ips[0] if context.ips else "",
        "container": state.name,
        "image": state.spec.get("image") or "",
    }
    spec: Object = {
        "id": state.id,
        "pod": meta.uid(pod),
        "name": state.name,
        "meta": notes(state),
        "program": standin.program,
        "ports": [{"port": each.port, "protocol": each.protocol} for each in standin.ports],
        "identity": identity,
        "log": log_path(context, state),
    }
    if standin.program == "porter":
        _serve_as_told(spec, environment)
    return spec


def _serve_as_told(spec: Object, environment: Mapping[str, str]) -> None:
    """agnhost's porter: what to answer, and where TLS is spoken, is in its environment."""
    told = {name: value for name, value in environment.items() if name.startswith(PORTER)}
    spec["identity"]["env"] = told
    secret = [entry for entry in spec["ports"] if f"{PORTER[1]}{entry['port']}" in told]
    for entry in secret:
        entry["tls"] = True
    if secret:
        spec["tls"] = self_signed()


def lazy_spec(
    pod: Object,
    state: ContainerState,
    environment: Mapping[str, str],
    mounts: Sequence[Object],
) -> Object:
    """A stand-in's container for the supervisor: it starts with the first command in it."""
    spec: Object = {
        "id": state.id,
        "pod": meta.uid(pod),
        "name": state.name,
        "lazy": True,
        "env": {"HOSTNAME": hostname(pod), **environment},
    }
    if state.spec.get("workingDir"):
        spec["cwd"] = state.spec["workingDir"]
    if mounts:
        spec["mounts"] = list(mounts)
    return {**spec, **rights(pod, state.spec)}


def rights(pod: Object, container: Object) -> Object:
    """User, groups, capabilities and the like; the container's settings before the pod's."""
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    result: Object = {}
    user = own.get("runAsUser", of_pod.get("runAsUser"))
    group = own.get("runAsGroup", of_pod.get("runAsGroup"))
    groups = list(of_pod.get("supplementalGroups") or ())
    if of_pod.get("fsGroup") is not None:
        groups.append(of_pod["fsGroup"])
    for key, value in (("user", user), ("group", group), ("groups", groups)):
        if value:
            result[key] = value
    if own.get("privileged"):
        result["privileged"] = True
    if own.get("readOnlyRootFilesystem"):
        result["readonly"] = True
    if own.get("allowPrivilegeEscalation") is False:
        result["no_new_privs"] = True
    sysctls = _sysctls(pod, user)
    if sysctls:
        result["sysctls"] = sysctls
    capabilities = own.get("capabilities") or {}
    for key, side in (("cap_add", "add"), ("cap_drop", "drop")):
        if capabilities.get(side):
            result[key] = [name.upper().removeprefix("CAP_") for name in capabilities[side]]
    return result


def _sysctls(pod: Object, user: int | None) -> dict[str, str]:
    """What the pod asks for, and, as with containerd, any port for users that are not root."""
    if pod["spec"].get("hostNetwork"):
        return {}
    given = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    wanted = {each["name"]: each["value"] for each in given}
    if user:
        wanted.setdefault("net.ipv4.ip_unprivileged_port_start", "0")
    return wanted


def resource_limits(container: Object, offered: Sequence[str]) -> dict[str, int]:
    """Limits as the supervisor takes them: memory in bytes, cpu in thousandths of a core."""
    limits = (container.get("resources") or {}).get("limits") or {}
    result = {}
    if "memory" in limits and "memory" in offered:
        result["memory"] = int(quantity.parse(limits["memory"]))
    if "cpu" in limits and "cpu" in offered:
        result["cpu"] = max(1, int(quantity.parse(limits["cpu"]) * 1000))
    return result


def runs_as_root_although_forbidden(pod: Object, container: Object) -> bool:
    """runAsNonRoot with a user that is root: CreateContainerConfigError."""
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    if not own.get("runAsNonRoot", of_pod.get("runAsNonRoot")):
        return False
    return not own.get("runAsUser", of_pod.get("runAsUser"))
