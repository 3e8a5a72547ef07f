"""Revisions of a workload: a Deployment keeps them as ReplicaSets, the others as
ControllerRevisions.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netemu.api.resource import Object
from netemu.cli.api import JSON_PATCH, STRATEGIC_MERGE_PATCH
from netemu.cli.failures import CommandFailed
from netemu.cli.session import Session
from netemu.cli.targets import Target

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
POD_TEMPLATE_HASH = "pod-template-hash"
OWN_ANNOTATIONS = (
    REVISION,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deployment.kubernetes.io/revision-history",
)
"""Annotations that belong to the Deployment or the ReplicaSet, not to a revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One earlier or present template of a workload. `patch` is a ControllerRevision's data."""

    number: int
    cause: str
    template: Object
    annotations: dict[str, str]
    patch: Object | None = None


def revisions_of(session: Session, target: Target) -> list[Revision]:
    """All revisions, oldest first."""
    live = session.api.get(target.path)
    found = (
        _of_deployment(session, target, live)
        if target.resource.kind == "Deployment"
        else _of_controller(session, target, live)
    )
    return sorted(found, key=lambda revision: revision.number)


def previous(session: Session, target: Target, number: int) -> Revision:
    """Revision `number`; 0 is the newest but one."""
    known = revisions_of(session, target)
    if number:
        chosen = next((each for each in known if each.number == number), None)
        if chosen is None:
            raise CommandFailed(f"unable to find specified revision {number} in history")
        return chosen
    if len(known) < 2:
        raise CommandFailed(
            f'no rollout history found for {target.resource.kind.lower()} "{target.name}"'
        )
    return known[-2]


def roll_back(session: Session, target: Target, live: Object, chosen: Revision) -> bool:
    """Whether anything had to change."""
    template = (live.get("spec") or {}).get("template") or {}
    if template == chosen.template:
        return False
    if chosen.patch is not None:
        session.api.patch(target.path, chosen.patch, kind=STRATEGIC_MERGE_PATCH)
        return True
    own = (live["metadata"].get("annotations") or {}).items()
    annotations = {k: v for k, v in own if k in OWN_ANNOTATIONS} | chosen.annotations
    patch = [
        {"op": "replace", "path": "/spec/template", "value": chosen.template},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]
    session.api.patch(target.path, patch, kind=JSON_PATCH)
    return True


def _owned(items: list[Object], uid: str) -> list[Object]:
    return [
        item
        for item in items
        for owner in item["metadata"].get("ownerReferences") or ()
        if owner.get("controller") and owner.get("uid") == uid
    ]


def _of_deployment(session: Session, target: Target, live: Object) -> list[Revision]:
    replica_sets = session.discovery.find("replicasets.apps")
    items = session.api.get(replica_sets.path(target.namespace)).get("items") or []
    found = []
    for item in _owned(items, live["metadata"]["uid"]):
        annotations = item["metadata"].get("annotations") or {}
        found.append(
            Revision(
                number=int(annotations.get(REVISION, 0)),
                cause=annotations.get(CHANGE_CAUSE, ""),
                template=_without_hash(item["spec"]["template"]),
                annotations={k: v for k, v in annotations.items() if k not in OWN_ANNOTATIONS},
            )
        )
    return found


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != POD_TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _of_controller(session: Session, target: Target, live: Object) -> list[Revision]:
    resource = session.discovery.find("controllerrevisions.apps")
    items = session.api.get(resource.path(target.namespace)).get("items") or []
    found = []
    for item in _owned(items, live["metadata"]["uid"]):
        data: dict[str, Any] = item.get("data") or {}
        template = (data.get("spec") or {}).get("template") or {}
        found.append(
            Revision(
                number=int(item.get("revision", 0)),
                cause=(item["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, ""),
                template={k: v for k, v in template.items() if k != "$patch"},
                annotations={},
                patch=data,
            )
        )
    return found
