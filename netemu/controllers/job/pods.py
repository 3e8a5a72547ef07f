"""The pods of a Job: labels, finalizer, and the index of an Indexed one. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

from __future__ import annotations

from collections.abc import Mapping

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import labels, name, uid
from netemu.controllers.job.counting import FINALIZER
from netemu.controllers.job.indexes import INDEX
from netemu.controllers.job.perindex import counts_after, is_limited
from netemu.controllers.podtemplate import desired_pod, pod_prefix

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_ENV = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
}


def identity_labels(job: Object) -> dict[str, str]:
    return {
        CONTROLLER_UID: uid(job),
        "controller-uid": uid(job),
        JOB_NAME: name(job),
        "job-name": name(job),
    }


def matches(job: Object, pod: Object) -> bool:
    """Pods of a Job are known by its uid, unless it brings a selector of its own."""
    return labels(pod).get(CONTROLLER_UID) == uid(job)


def desired_worker(
    job: Object, index: int | None, failed: Mapping[int, Object] | None = None
) -> Object:
    """A pod for the Job; `index` of an Indexed one. `failed`: the pods that it may replace."""
    prefix = pod_prefix(name(job) if index is None else f"{name(job)}-{index}")
    pod = desired_pod(job["spec"]["template"], job, kinds.JOBS, prefix=prefix)
    meta, spec = pod["metadata"], pod["spec"]
    wanted = {**(meta.get("labels") or {}), **identity_labels(job)}
    meta["finalizers"] = [*(meta.get("finalizers") or ()), FINALIZER]
    if index is not None:
        wanted[INDEX] = str(index)
        noted = {**(meta.get("annotations") or {}), INDEX: str(index)}
        if is_limited(job):
            noted |= counts_after(job, (failed or {}).get(index))
        meta["annotations"] = noted
        spec["hostname"] = f"{name(job)}-{index}"[:63]
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                env = container.get("env") or []
                if not any(found["name"] == _ENV["name"] for found in env):
                    container["env"] = [*env, _ENV]
    meta["labels"] = wanted
    return pod
