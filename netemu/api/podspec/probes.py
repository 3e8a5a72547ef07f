"""Rules for probes and lifecycle hooks.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

from typing import Any

from netemu.api import names
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Object

NOT_NEGATIVE = "must be greater than or equal to 0"
_COUNTS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def check_port(port: Any, path: str) -> list[Cause]:
    """An IntOrString: a port's number or its name."""
    wrong = names.port_name(port) if isinstance(port, str) else names.port_number(port or 0)
    return [invalid(path, port if port is not None else 0, why) for why in wrong]


def check_probe(probe: Object, path: str, *, one_success: bool) -> list[Cause]:
    """`one_success`: liveness and startup probes succeed at once or not at all."""
    causes = check_handler(probe, path, probe=True)
    causes += [
        invalid(f"{path}.{count}", probe[count], NOT_NEGATIVE)
        for count in _COUNTS
        if (probe.get(count) or 0) < 0
    ]
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        causes.append(
            invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
        )
    if grace is not None and not one_success:
        message = "must not be set for readinessProbes"
        causes.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, message))
    threshold = probe.get("successThreshold", 1)
    if one_success and threshold != 1:
        causes.append(invalid(f"{path}.successThreshold", threshold, "must be 1"))
    return causes


def check_handler(handler: Object, path: str, *, probe: bool) -> list[Cause]:
    kinds = ["exec", "httpGet", "tcpSocket", "grpc" if probe else "sleep"]
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    causes = _CHECKS[given[0]](handler[given[0]], f"{path}.{given[0]}")
    causes += [
        forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        for kind in given[1:]
    ]
    return causes


def check_lifecycle(lifecycle: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            causes += check_handler(lifecycle[hook], f"{path}.{hook}", probe=False)
    return causes


def _check_exec(action: Object, path: str) -> list[Cause]:
    return [] if action.get("command") else [required(f"{path}.command")]


def _check_http(action: Object, path: str) -> list[Cause]:
    causes = [] if action.get("path") else [required(f"{path}.path")]
    causes += check_port(action.get("port"), f"{path}.port")
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        causes.append(not_supported(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        causes += [invalid(f"{path}.httpHeaders", name, why) for why in names.http_header(name)]
    return causes


def _check_tcp(action: Object, path: str) -> list[Cause]:
    return check_port(action.get("port"), f"{path}.port")


def _check_sleep(action: Object, path: str) -> list[Cause]:
    seconds = action.get("seconds") or 0
    return [] if seconds >= 0 else [invalid(path, seconds, NOT_NEGATIVE)]


_CHECKS = {
    "exec": _check_exec,
    "httpGet": _check_http,
    "tcpSocket": _check_tcp,
    "grpc": _check_tcp,
    "sleep": _check_sleep,
}
