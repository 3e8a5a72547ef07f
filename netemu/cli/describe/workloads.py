"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, Jobs and CronJobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.describe.page import NONE, UNSET, Page, controller, moment, selector_text
from netemu.cli.describe.podtemplate import write_template
from netemu.errors import ApiError

REVISION = "deployment.kubernetes.io/revision"


def owned(api: Api, path: str, uid: str) -> list[Object]:
    """The objects of a collection that `uid` controls."""
    try:
        items = api.get(path).get("items") or []
    except ApiError:
        return []
    return [
        item
        for item in items
        if any(
            owner.get("controller") and owner.get("uid") == uid
            for owner in item["metadata"].get("ownerReferences") or ()
        )
    ]


def pods_status(api: Api, obj: Object) -> str:
    """`3 Running / 0 Waiting / 0 Succeeded / 0 Failed`."""
    metadata = obj["metadata"]
    pods = owned(api, f"/api/v1/namespaces/{metadata['namespace']}/pods", metadata["uid"])
    phases = [(pod.get("status") or {}).get("phase", "Pending") for pod in pods]
    shown = (
        ("Running", "Running"),
        ("Pending", "Waiting"),
        ("Succeeded", "Succeeded"),
        ("Failed", "Failed"),
    )
    return " / ".join(f"{phases.count(phase)} {title}" for phase, title in shown)


def _conditions(page: Page, obj: Object) -> None:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    if conditions:
        page.line("Conditions:")
        page.table(
            ("Type", "Status", "Reason"),
            ((f"{c['type']} ", c["status"], c.get("reason", "")) for c in conditions),
        )


def write_deployment(page: Page, obj: Object, replica_sets: Sequence[Object]) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.head(obj)
    page.field("CreationTimestamp", moment(obj["metadata"].get("creationTimestamp")))
    page.metadata(obj)
    page.field("Selector", selector_text(spec.get("selector")))
    page.field(
        "Replicas",
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated |"
        f" {status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} available |"
        f" {status.get('unavailableReplicas', 0)} unavailable",
    )
    strategy = spec.get("strategy") or {}
    page.field("StrategyType", strategy.get("type", ""))
    page.field("MinReadySeconds", spec.get("minReadySeconds", 0))
    rolling = strategy.get("rollingUpdate")
    if rolling:
        page.field(
            "RollingUpdateStrategy",
            f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge",
        )
    write_template(page, spec.get("template") or {})
    _conditions(page, obj)
    if not replica_sets:
        return
    newest = _newest(obj, replica_sets)
    old = [each for each in replica_sets if each is not newest]
    with_pods = [each for each in old if (each.get("spec") or {}).get("replicas")] or old
    page.field("OldReplicaSets", ", ".join(_replica_set(each) for each in with_pods) or NONE)
    page.field("NewReplicaSet", _replica_set(newest) if newest else NONE)


def _newest(obj: Object, replica_sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the Deployment's present revision."""
    wanted = (obj["metadata"].get("annotations") or {}).get(REVISION)
    for each in replica_sets:
        if wanted and (each["metadata"].get("annotations") or {}).get(REVISION) == wanted:
            return each
    return None


def _replica_set(each: Object) -> str:
    created = (each.get("status") or {}).get("replicas", 0)
    wanted = (each.get("spec") or {}).get("replicas", 0)
    return f"{each['metadata']['name']} ({created}/{wanted} replicas created)"


def write_replica_set(page: Page, obj: Object, pods: str) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.head(obj)
    chosen: Mapping[str, Any] = spec.get("selector") or {}
    if obj.get("kind") == "ReplicationController":
        chosen = {"matchLabels": chosen}
    page.field("Selector", selector_text(chosen))
    page.metadata(obj)
    if controller(obj):
        page.field("Controlled By", controller(obj))
    page.field(
        "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired"
    )
    page.field("Pods Status", pods)
    write_template(page, spec.get("template") or {})
    _conditions(page, obj)


def write_stateful_set(page: Page, obj: Object, pods: str) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.head(obj)
    page.field("CreationTimestamp", moment(obj["metadata"].get("creationTimestamp")))
    page.field("Selector", selector_text(spec.get("selector")))
    page.metadata(obj)
    page.field("Replicas", f"{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    page.field("Update Strategy", strategy.get("type", ""))
    rolling = strategy.get("rollingUpdate") or {}
    if rolling.get("partition") is not None:
        page.field("Partition", rolling["partition"], level=1)
    page.field("Pods Status", pods)
    write_template(page, spec.get("template") or {})
    _claims(page, spec.get("volumeClaimTemplates") or ())


def _claims(page: Page, claims: Sequence[Object]) -> None:
    page.line("Volume Claims:" + ("" if claims else f"\t{NONE}"))
    for claim in claims:
        spec, metadata = claim.get("spec") or {}, claim.get("metadata") or {}
        page.field("Name", metadata.get("name", ""), level=1)
        page.field("StorageClass", spec.get("storageClassName", ""), level=1)
        page.labels("Labels", metadata.get("labels"), indent="  ")
        page.annotations("Annotations", metadata.get("annotations"), indent="  ")
        storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        page.field("Capacity", storage or "<default>", level=1)
        page.field("Access Modes", f"[{' '.join(spec.get('accessModes') or ())}]", level=1)


def write_daemon_set(page: Page, obj: Object, pods: str) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    template = spec.get("template") or {}
    page.head(obj)
    page.field("Selector", selector_text(spec.get("selector")))
    nodes = (template.get("spec") or {}).get("nodeSelector")
    page.field("Node-Selector", selector_text({"matchLabels": nodes} if nodes else None))
    page.metadata(obj)
    for title, key in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        page.line(f"{title}: {status.get(key, 0)}")
    page.field("Pods Status", pods)
    write_template(page, template)


def write_job(page: Page, obj: Object) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.head(obj)
    chosen = spec.get("selector")
    page.field("Selector", selector_text(chosen) if chosen else "")
    page.metadata(obj)
    if controller(obj):
        page.field("Controlled By", controller(obj))
    _job_settings(page, spec)
    if status.get("startTime"):
        page.field("Start Time", moment(status["startTime"]))
    if status.get("completionTime"):
        page.field("Completed At", moment(status["completionTime"]))
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    page.field(
        "Pods Statuses",
        f"{status.get('active', 0)} Active{ready} / {status.get('succeeded', 0)} Succeeded /"
        f" {status.get('failed', 0)} Failed",
    )
    if spec.get("completionMode") == "Indexed":
        page.field("Completed Indexes", status.get("completedIndexes") or NONE)
    write_template(page, spec.get("template") or {})


def _job_settings(page: Page, spec: Object) -> None:
    """What was set, by the user or as a default."""
    if spec.get("parallelism") is not None:
        page.field("Parallelism", spec["parallelism"])
    completions = spec.get("completions")
    page.field("Completions", UNSET if completions is None else completions)
    if spec.get("completionMode"):
        page.field("Completion Mode", spec["completionMode"])
    if spec.get("suspend") is not None:
        page.field("Suspend", str(spec["suspend"]).lower())
    for title, key in (
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ):
        if spec.get(key) is not None:
            page.field(title, spec[key])


def write_cron_job(page: Page, obj: Object) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.head(obj)
    page.metadata(obj)
    page.field("Schedule", spec.get("schedule", ""))
    page.field("Concurrency Policy", spec.get("concurrencyPolicy", ""))
    page.field("Suspend", bool(spec.get("suspend")))
    for title, key in (
        ("Successful Job History Limit", "successfulJobsHistoryLimit"),
        ("Failed Job History Limit", "failedJobsHistoryLimit"),
    ):
        page.field(title, spec.get(key, UNSET))
    deadline = spec.get("startingDeadlineSeconds")
    page.field("Starting Deadline Seconds", UNSET if deadline is None else f"{deadline}s")
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    page.field("Selector", selector_text(job["selector"]) if job.get("selector") else UNSET)
    page.field("Parallelism", job.get("parallelism", UNSET))
    page.field("Completions", job.get("completions", UNSET))
    write_template(page, job.get("template") or {})
    last = status.get("lastScheduleTime")
    page.field("Last Schedule Time", moment(last) if last else UNSET)
    active = ", ".join(each["name"] for each in status.get("active") or ())
    page.field("Active Jobs", active or NONE)
