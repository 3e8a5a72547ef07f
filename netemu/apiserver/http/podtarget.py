"""Which node and which container a request for logs, exec, attach or port-forward means."""

from __future__ import annotations

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.http.call import Call
from netemu.client.kubelet import KubeletApi
from netemu.errors import ApiError

_LISTS = ("containers", "initContainers", "ephemeralContainers")
_DEFAULT = "kubectl.kubernetes.io/default-container"


def kubelet_of(call: Call, kind: Kind) -> tuple[KubeletApi, Object]:
    """The kubelet that runs the pod of the request's path, and the pod."""
    pod = call.ctx.find(kind, call.info.namespace, call.info.name).object
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        raise ApiError("BadRequest", f"pod {meta.name(pod)} does not have a host assigned")
    return call.server.kubelets(node), pod


def containers(pod: Object) -> list[str]:
    """The names of all containers of a pod, of every sort."""
    spec = pod.get("spec") or {}
    return [container["name"] for field in _LISTS for container in spec.get(field) or ()]


def container_of(call: Call, pod: Object) -> str:
    """The container that the query names, or the only one; ApiError BadRequest otherwise."""
    spec, named = pod.get("spec") or {}, containers(pod)
    asked = call.query.get("container", "")
    if asked:
        if asked not in named:
            message = f"container {asked} is not valid for pod {meta.name(pod)}"
            raise ApiError("BadRequest", message)
        return asked
    plain = [container["name"] for container in spec.get("containers") or ()]
    preferred = meta.annotations(pod).get(_DEFAULT, "")
    if preferred in named:
        return preferred
    if len(plain) == 1:
        return str(plain[0])
    message = f"a container name must be specified for pod {meta.name(pod)}, choose one of: "
    text = f"[{' '.join(plain)}]"
    init = [container["name"] for container in spec.get("initContainers") or ()]
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise ApiError("BadRequest", message + text)
