"""Which nodes a DaemonSet's pods run on, and what pins a pod to its node. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled
"""

from __future__ import annotations

from typing import Any

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import labels, name
from netemu.api.nodeaffinity import allows, required_terms
from netemu.api.tolerations import first_untolerated
from netemu.controllers.history import REVISION_HASH
from netemu.controllers.podtemplate import desired_pod, pod_prefix

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_ALWAYS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def tolerations_of(spec: Any) -> list[dict[str, Any]]:
    """The template's own tolerations and those that every daemon pod has."""
    found = list(spec.get("tolerations") or ())
    extra = [*_ALWAYS, *([_HOST_NETWORK] if spec.get("hostNetwork") else ())]
    for key, effect in extra:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in found:
            found.append(toleration)
    return found


def should_run(owner: Object, node: Object) -> tuple[bool, bool]:
    """(whether a pod belongs on the node, whether one that is there may stay)."""
    spec = owner["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") not in (None, "", name(node)):
        return False, False
    terms = required_terms(spec.get("affinity") or {})
    if not allows(spec.get("nodeSelector") or {}, terms, name(node), labels(node)):
        return False, False
    tolerations = tolerations_of(spec)
    taints = (node.get("spec") or {}).get("taints") or ()
    if first_untolerated(tolerations, taints, ("NoExecute",)):
        return False, False
    return first_untolerated(tolerations, taints, ("NoSchedule",)) is None, True


def node_of(pod: Object) -> str:
    """The node that a daemon pod runs on, or is pinned to and waits for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""


def desired_daemon(owner: Object, node: str, revision_hash: str) -> Object:
    """The pod for one node: the scheduler places it, but only there."""
    template = owner["spec"]["template"]
    pod = desired_pod(template, owner, kinds.DAEMON_SETS, prefix=pod_prefix(name(owner)))
    meta, spec = pod["metadata"], pod["spec"]
    meta["labels"] = {**(meta.get("labels") or {}), REVISION_HASH: revision_hash}
    affinity = spec.get("affinity") or {}
    pin = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    node_affinity = {
        **(affinity.get("nodeAffinity") or {}),
        _REQUIRED: {"nodeSelectorTerms": [pin]},
    }
    spec["affinity"] = {**affinity, "nodeAffinity": node_affinity}
    spec["tolerations"] = tolerations_of(spec)
    return pod
