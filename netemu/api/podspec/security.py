"""Rules for the security contexts of pods and containers.

https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

import re
from typing import Any

from netemu.api.invalid import duplicate, invalid, not_supported, required
from netemu.api.kind import Cause, Object

_MAX_ID = (1 << 32) - 1
_ID = f"must be between 0 and {_MAX_ID}, inclusive"
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SEGMENT}[\./])*{_SEGMENT}"
_sysctl = re.compile(_SYSCTL).fullmatch
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def check_container_security(context: Object, path: str) -> list[Cause]:
    causes = _check_ids(context, path, "runAsUser", "runAsGroup")
    causes += _check_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        causes.append(not_supported(f"{path}.procMount", mount, ("Default", "Unmasked")))
    if context.get("allowPrivilegeEscalation") is False:
        what = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            causes.append(invalid(path, context, f"{what} `privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            causes.append(invalid(path, context, f"{what} `capabilities.Add` CAP_SYS_ADMIN"))
    return causes


def check_pod_security(spec: Object, path: str) -> list[Cause]:
    """spec.securityContext, and what goes with it in the spec."""
    context = spec.get("securityContext") or {}
    where = f"{path}.securityContext"
    causes = _check_ids(context, where, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            causes.append(invalid(f"{where}.supplementalGroups[{index}]", group, _ID))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        message = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(invalid(f"{path}.shareProcessNamespace", True, message))
    causes += _check_sysctls(context.get("sysctls") or [], f"{where}.sysctls")
    change = context.get("fsGroupChangePolicy")
    if change is not None and change not in ("Always", "OnRootMismatch"):
        known = ("Always", "OnRootMismatch")
        causes.append(not_supported(f"{where}.fsGroupChangePolicy", change, known))
    return causes + _check_seccomp(context.get("seccompProfile"), f"{where}.seccompProfile")


def _check_ids(context: Object, path: str, *keys: str) -> list[Cause]:
    return [
        invalid(f"{path}.{key}", context[key], _ID)
        for key in keys
        if context.get(key) is not None and not 0 <= context[key] <= _MAX_ID
    ]


def _check_seccomp(profile: Object | None, path: str) -> list[Cause]:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        return [required(f"{path}.type", "type is required when seccompProfile is set")]
    if kind not in _SECCOMP:
        return [not_supported(f"{path}.type", kind, _SECCOMP)]
    where = f"{path}.localhostProfile"
    if kind == "Localhost" and not local:
        return [required(where, "must be set when seccomp type is Localhost")]
    if kind != "Localhost" and local is not None:
        return [invalid(where, local, "can only be set when seccomp type is Localhost")]
    return []


def _check_sysctls(sysctls: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name, where = sysctl.get("name") or "", f"{path}[{index}].name"
        if not name:
            causes.append(required(where))
        elif len(name) > 253 or not _sysctl(name):
            message = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            causes.append(invalid(where, name, message))
        elif name in seen:
            causes.append(duplicate(where, name))
        seen.add(name)
    return causes
