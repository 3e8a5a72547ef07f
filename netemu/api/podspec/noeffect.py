"""Fields of pods that are taken and kept, but that nothing here acts on: said when they are used.

A manifest from elsewhere shall come up; who wrote it shall not wonder why a field does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from netemu.api.kind import Object

_OF_POD = ("hostPID", "hostIPC", "setHostnameAsFQDN", "runtimeClassName", "resourceClaims")
_OF_CONTAINER = ("volumeDevices", "restartPolicyRules", "resizePolicy")
_CONFINING = ("seccompProfile", "appArmorProfile")
_SECURITY = ("seLinuxOptions", "windowsOptions")
_POD_SECURITY = {
    "fsGroupChangePolicy": "Always",
    "supplementalGroupsPolicy": "Merge",
    "seLinuxChangePolicy": "MountOption",
}
_MOUNT = {"mountPropagation": "None", "recursiveReadOnly": "Disabled"}
"""Fields whose usual value is what happens anyway."""
_PATHS = ("spec", "spec.template.spec", "spec.jobTemplate.spec.template.spec")


def without_effect(obj: Object) -> list[str]:
    """A warning for each such field of a pod, or of the pods that a workload makes."""
    for path in _PATHS:
        spec = obj
        for step in path.split("."):
            spec = spec.get(step) or {}
        if spec.get("containers"):
            return [f"{path}.{field}: has no effect in netemu" for field in _fields(spec)]
    return []


def _fields(spec: Object) -> Iterator[str]:
    for field in _OF_POD:
        if spec.get(field):
            yield field
    if spec.get("hostUsers") is False:
        yield "hostUsers"
    security = spec.get("securityContext") or {}
    yield from _security(security, "securityContext")
    for field, usual in _POD_SECURITY.items():
        if (security.get(field) or usual) != usual:
            yield f"securityContext.{field}"
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            for field in _of_container(container):
                yield f"{kind}[{index}].{field}"
    yield from _affinity(spec.get("affinity") or {})


def _of_container(container: Object) -> Iterator[str]:
    for field in _OF_CONTAINER:
        if container.get(field):
            yield field
    if (container.get("lifecycle") or {}).get("stopSignal"):
        yield "lifecycle.stopSignal"
    security = container.get("securityContext") or {}
    yield from _security(security, "securityContext")
    if (security.get("procMount") or "Default") != "Default":
        yield "securityContext.procMount"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for field, usual in _MOUNT.items():
            if (mount.get(field) or usual) != usual:
                yield f"volumeMounts[{index}].{field}"


def _security(context: Object, path: str) -> Iterator[str]:
    """What a security context of a pod or a container asks of the kernel's security modules."""
    for field in _SECURITY:
        if context.get(field):
            yield f"{path}.{field}"
    for field in _CONFINING:
        # Unconfined is what every container here is.
        if (context.get(field) or {}).get("type", "Unconfined") != "Unconfined":
            yield f"{path}.{field}"


def _affinity(affinity: Object) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        for when in ("required", "preferred"):
            list_name = f"{when}DuringSchedulingIgnoredDuringExecution"
            for index, entry in enumerate((affinity.get(kind) or {}).get(list_name) or ()):
                term = entry.get("podAffinityTerm", entry)
                for field in ("matchLabelKeys", "mismatchLabelKeys"):
                    if term.get(field):
                        yield f"affinity.{kind}.{list_name}[{index}].{field}"
