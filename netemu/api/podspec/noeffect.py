"""Fields of pods that are taken and kept, but that nothing here acts on: said when they are used.

A manifest from elsewhere shall come up; who wrote it shall not wonder why a field does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from netemu.api.kind import Object

_OF_POD = ("hostPID", "hostIPC", "setHostnameAsFQDN", "runtimeClassName", "resourceClaims")
_OF_CONTAINER = ("volumeDevices", "restartPolicyRules")
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
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            for field in _OF_CONTAINER:
                if container.get(field):
                    yield f"{kind}[{index}].{field}"
            if (container.get("lifecycle") or {}).get("stopSignal"):
                yield f"{kind}[{index}].lifecycle.stopSignal"
    yield from _affinity(spec.get("affinity") or {})


def _affinity(affinity: Object) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        for when in ("required", "preferred"):
            list_name = f"{when}DuringSchedulingIgnoredDuringExecution"
            for index, entry in enumerate((affinity.get(kind) or {}).get(list_name) or ()):
                term = entry.get("podAffinityTerm", entry)
                for field in ("matchLabelKeys", "mismatchLabelKeys"):
                    if term.get(field):
                        yield f"affinity.{kind}.{list_name}[{index}].{field}"
