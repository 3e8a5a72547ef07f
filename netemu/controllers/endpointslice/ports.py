"""A Service's ports, as one pod has them: named target ports are looked up in the pod. Pure.

https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object

Port = dict[str, Any]


def find_port(pod: Object, service_port: Port) -> int | None:
    """The pod's port number for a Service port; None when no container declares the name."""
    target = service_port.get("targetPort")
    if target is None or target == "":
        target = service_port.get("port")
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol") or "TCP"
    for container in _containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return int(target) if isinstance(target, str) and target.isdigit() else None


def _containers(pod: Object) -> list[Any]:
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def desired_ports(service: Object, pod: Object) -> tuple[Port, ...]:
    """The EndpointSlice ports that this pod offers for the Service, in the Service's order."""
    found = []
    for service_port in service["spec"].get("ports") or ():
        number = find_port(pod, service_port)
        if number is None:
            continue
        port: Port = {
            "name": service_port.get("name") or "",
            "port": number,
            "protocol": service_port.get("protocol") or "TCP",
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        found.append(port)
    return tuple(found)


def port_key(ports: Any) -> tuple[Any, ...]:
    """Equal for equal lists of ports, whatever their order."""
    return tuple(
        sorted(
            (
                port.get("name") or "",
                port.get("protocol") or "TCP",
                port.get("port") or 0,
                port.get("appProtocol") or "",
            )
            for port in ports or ()
        )
    )
