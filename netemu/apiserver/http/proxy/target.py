"""Where a proxied request goes. Names are `[scheme:]name[:port]`.

A pod is reached at its address and a Service at one of its ready pods, both from the pod's node; a
node is its kubelet, or with another port whatever listens there.
https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.api.kinds.node import address as node_address
from netemu.apiserver.http.call import Call
from netemu.client.kubelet import KubeletApi
from netemu.errors import ApiError

KUBELET_PORT = 10250


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`address` is empty for the kubelet itself."""

    kubelet: KubeletApi
    address: str
    port: int
    tls: bool = False

    @property
    def host(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


def find_target(call: Call, kind: Kind) -> Target:
    """Where the request's path leads to; ApiError when nowhere."""
    scheme, name, port = _split(kind, call.info.name)
    if kind.plural == "nodes":
        return _node(call, call.ctx.find(kind, "", name).object, port, tls=scheme == "https")
    if kind.plural == "pods":
        pod = call.ctx.find(kind, call.info.namespace, name).object
        return _pod(call, pod, _pod_port(pod, port), tls=scheme == "https")
    service = call.ctx.find(kind, call.info.namespace, name).object
    chosen = list(_endpoints(call, service, _service_port(service, port)))
    if not chosen:
        message = f'no endpoints available for service "{call.info.name}"'
        raise ApiError("ServiceUnavailable", message)
    found, number = random.choice(chosen)
    return _pod(call, found, number, tls=scheme == "https")


def _split(kind: Kind, name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `[scheme:]name[:port]`."""
    parts = name.split(":")
    scheme = parts.pop(0) if len(parts) == 3 else ""
    if len(parts) > 2 or not parts[0] or scheme not in ("", "http", "https"):
        raise ApiError("BadRequest", f'invalid {kind.singular} request "{name}"')
    return scheme, parts[0], parts[1] if len(parts) == 2 else ""


def _node(call: Call, node: Object, port: str, *, tls: bool) -> Target:
    kubelet = call.server.kubelets(meta.name(node))
    if port in ("", str(KUBELET_PORT)):
        return Target(kubelet=kubelet, address="", port=KUBELET_PORT)
    address = node_address(node, "InternalIP")
    return Target(kubelet=kubelet, address=address, port=_number(port), tls=tls)


def _pod(call: Call, pod: Object, port: int, *, tls: bool) -> Target:
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise ApiError("BadRequest", f'pod "{meta.name(pod)}" has no address yet')
    kubelet = call.server.kubelets(pod["spec"]["nodeName"])
    return Target(kubelet=kubelet, address=address, port=port, tls=tls)


def _number(port: str) -> int:
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ApiError("BadRequest", f'invalid port "{port}": must be 1 to 65535')
    return int(port)


def _pod_port(pod: Object, port: str) -> int:
    """A number, the name of a port that the pod declares, or the first that it declares."""
    if port[:1].isdigit():
        return _number(port)
    for container in (pod.get("spec") or {}).get("containers") or ():
        for declared in container.get("ports") or ():
            if not port or declared.get("name") == port:
                return int(declared["containerPort"])
    if port:
        raise ApiError("BadRequest", f'pod "{meta.name(pod)}" has no port named "{port}"')
    return 80


def _service_port(service: Object, port: str) -> str:
    """The name of the Service's port that `port` means; itself unless it is a number."""
    if not port.isdigit():
        return port
    for declared in (service.get("spec") or {}).get("ports") or ():
        if str(declared.get("port")) == port:
            return declared.get("name") or ""
    message = f'no service port {port} found for service "{meta.name(service)}"'
    raise ApiError("ServiceUnavailable", message)


def _endpoints(call: Call, service: Object, port: str) -> Iterator[tuple[Object, int]]:
    """The ready pods behind a port of a Service, and their port's number."""
    registry, namespace = call.ctx.registry, meta.namespace(service)
    slices = registry.find("discovery.k8s.io", "v1", "endpointslices")
    pods = registry.find("", "v1", "pods")
    assert pods is not None and slices is not None
    for entry in call.ctx.cache.of(slices).entries(namespace):
        if meta.labels(entry.object).get("kubernetes.io/service-name") != meta.name(service):
            continue
        declared = entry.object.get("ports") or ()
        number = next((p.get("port") for p in declared if (p.get("name") or "") == port), None)
        for endpoint in entry.object.get("endpoints") or ():
            target = endpoint.get("targetRef") or {}
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if not (number and ready and target.get("kind") == "Pod"):
                continue
            found = call.ctx.cache.get(pods, namespace, target.get("name") or "")
            if found is not None:
                yield found.object, int(number)
