"""Ports that probes and hooks name: numbers, or names of the container's ports."""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def resolve_port(container: Object, port: Any) -> int | None:
    """The number of a port that may be a name; None when no port of the container has it."""
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return None


def probed_ports(container: Object) -> list[int]:
    """TCP ports that the container's probes connect to."""
    found = []
    for name in _PROBES:
        probe = container.get(name) or {}
        for kind in ("httpGet", "tcpSocket", "grpc"):
            action = probe.get(kind)
            number = resolve_port(container, action.get("port")) if action else None
            if number is not None and not (action or {}).get("host"):
                found.append(number)
    return list(dict.fromkeys(found))
