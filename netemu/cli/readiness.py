"""When a workload counts as available, and the text that says how far it is.

The conditions and texts of `kubectl rollout status` for Deployment, StatefulSet and DaemonSet, and
the like for the others. Pure: one object in, one verdict out.
https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from netemu.api.resource import Object


class Verdict(NamedTuple):
    """`text` is for people; `failed` says that waiting on is of no use."""

    done: bool
    text: str
    failed: bool = False


def judge(obj: Object) -> Verdict:
    """How far `obj` is; kinds that have nothing to wait for are done."""
    judge_kind = _JUDGES.get(obj.get("kind", ""))
    return judge_kind(obj) if judge_kind else Verdict(True, "")


def is_workload(kind: str) -> bool:
    return kind in _JUDGES


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _parts(obj: Object) -> tuple[dict[str, Any], dict[str, Any]]:
    return obj.get("spec") or {}, obj.get("status") or {}


def _observed(obj: Object) -> bool:
    generation: int = obj["metadata"].get("generation") or 0
    observed: int = (obj.get("status") or {}).get("observedGeneration") or 0
    return observed >= generation


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == kind), {}
    )
    return found


def deployment(obj: Object) -> Verdict:
    """kubectl's texts, word for word."""
    spec, status = _parts(obj)
    name = _name(obj)
    if not _observed(obj):
        return Verdict(False, "Waiting for deployment spec update to be observed...")
    if _condition(status, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Verdict(False, f'deployment "{name}" exceeded its progress deadline', failed=True)
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    head = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return Verdict(False, f"{head}{updated} out of {wanted} new replicas have been updated...")
    if total > updated:
        return Verdict(False, f"{head}{total - updated} old replicas are pending termination...")
    if available < updated:
        return Verdict(False, f"{head}{available} of {updated} updated replicas are available...")
    return Verdict(True, f'deployment "{name}" successfully rolled out')


def stateful_set(obj: Object) -> Verdict:
    spec, status = _parts(obj)
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if not _observed(obj):
        return Verdict(False, "Waiting for statefulset spec update to be observed...")
    if ready < wanted:
        return Verdict(False, f"Waiting for {wanted - ready} pods to be ready...")
    if not rolling:
        return Verdict(True, f"statefulset {_name(obj)}: {ready} pods ready")
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    updated = status.get("updatedReplicas", 0)
    if partition > 0:
        if updated < wanted - partition:
            return Verdict(
                False,
                "Waiting for partitioned roll out to finish:"
                f" {updated} out of {wanted - partition} new pods have been updated...",
            )
        return Verdict(
            True, f"partitioned roll out complete: {updated} new pods have been updated..."
        )
    if status.get("updateRevision") != status.get("currentRevision"):
        return Verdict(
            False,
            "waiting for statefulset rolling update to complete"
            f" {updated} pods at revision {status.get('updateRevision')}...",
        )
    return Verdict(
        True,
        "statefulset rolling update complete"
        f" {status.get('currentReplicas', 0)} pods at revision {status.get('currentRevision')}...",
    )


def daemon_set(obj: Object) -> Verdict:
    status, name = obj.get("status") or {}, _name(obj)
    if not _observed(obj):
        return Verdict(False, "Waiting for daemon set spec update to be observed...")
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    head = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return Verdict(False, f"{head}{updated} out of {wanted} new pods have been updated...")
    if available < wanted:
        return Verdict(False, f"{head}{available} of {wanted} updated pods are available...")
    return Verdict(True, f'daemon set "{name}" successfully rolled out')


def replica_set(obj: Object) -> Verdict:
    spec, status = _parts(obj)
    wanted, available = spec.get("replicas", 1), status.get("availableReplicas", 0)
    text = f"{obj['kind'].lower()}/{_name(obj)}: {available} of {wanted} replicas are available"
    return Verdict(_observed(obj) and available >= wanted, text)


def pod(obj: Object) -> Verdict:
    _, status = _parts(obj)
    phase, name = status.get("phase", "Pending"), _name(obj)
    if phase == "Failed":
        reason = status.get("reason") or "a container failed"
        return Verdict(False, f"pod/{name}: Failed: {reason}", failed=True)
    if phase == "Succeeded" or _condition(status, "Ready").get("status") == "True":
        return Verdict(True, f"pod/{name}: {phase}")
    return Verdict(False, f"pod/{name}: {why_not_ready(obj)}")


def job(obj: Object) -> Verdict:
    """A Job that has started its pods, or ended; its work may take long."""
    spec, status = _parts(obj)
    if _condition(status, "Failed").get("status") == "True":
        message = _condition(status, "Failed").get("message", "")
        return Verdict(False, f"job/{_name(obj)}: Failed: {message}", failed=True)
    if spec.get("suspend") or _condition(status, "Complete").get("status") == "True":
        return Verdict(True, f"job/{_name(obj)}: complete")
    started = status.get("ready", 0) + status.get("succeeded", 0) + status.get("active", 0)
    return Verdict(started > 0, f"job/{_name(obj)}: {started} pods started")


def custom_resource_definition(obj: Object) -> Verdict:
    established = _condition(obj.get("status") or {}, "Established").get("status") == "True"
    return Verdict(established, f"customresourcedefinition/{_name(obj)}: not established yet")


def why_not_ready(obj: Object) -> str:
    """The first thing that holds a pod up, in the words of its status."""
    status = obj.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or "waits to be scheduled")
    kinds = ("initContainerStatuses", "containerStatuses")
    for container in (c for kind in kinds for c in status.get(kind) or ()):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") != "PodInitializing":
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f"container {container['name']}: {waiting.get('reason', 'waiting')}{message}"
        if ended and ended.get("exitCode"):
            return f"container {container['name']}: ended with code {ended['exitCode']}"
    unready = [c["name"] for c in status.get("containerStatuses") or () if not c.get("ready")]
    if unready and status.get("phase") == "Running":
        return f"container {unready[0]}: not ready yet"
    return str(status.get("phase", "Pending"))


_JUDGES: dict[str, Callable[[Object], Verdict]] = {
    "CustomResourceDefinition": custom_resource_definition,
    "DaemonSet": daemon_set,
    "Deployment": deployment,
    "Job": job,
    "Pod": pod,
    "ReplicaSet": replica_set,
    "ReplicationController": replica_set,
    "StatefulSet": stateful_set,
}
