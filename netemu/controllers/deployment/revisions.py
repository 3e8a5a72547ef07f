"""Which ReplicaSet holds the Deployment's template, and the history that the others are. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/util/deployment_util.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import (
    annotations as annotations_of,
)
from netemu.api.meta import (
    copy,
    is_deleting,
    name,
    namespace,
    owner_reference,
)
from netemu.controllers.podtemplate import hash_of, same_template, with_labels

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWN = frozenset(
    {REVISION, HISTORY, DESIRED, MAXIMUM, LAST_APPLIED, "deprecated.deployment.rollback.to"}
)


def age(replica_set: Object) -> tuple[str, str]:
    """Sorts older sets first."""
    return replica_set["metadata"].get("creationTimestamp") or "", name(replica_set)


def revision_of(replica_set: Object) -> int:
    try:
        return int(annotations_of(replica_set).get(REVISION) or 0)
    except ValueError:
        return 0


def find_new(deployment: Object, sets: Iterable[Object]) -> Object | None:
    """The oldest set with the Deployment's own template."""
    template = deployment["spec"]["template"]
    for candidate in sorted(sets, key=age):
        if same_template(candidate["spec"]["template"], template, HASH_LABEL):
            return candidate
    return None


def next_revision(old: Iterable[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def desired_annotations(
    deployment: Object, revision: int, old: Mapping[str, str]
) -> dict[str, str]:
    """Annotations of the new set: those it has, the Deployment's own, its revision."""
    wanted = {**old, **{k: v for k, v in annotations_of(deployment).items() if k not in _OWN}}
    before = old.get(REVISION)
    if before is not None and before.isdigit() and int(before) < revision:
        history = old.get(HISTORY)
        wanted[HISTORY] = f"{history},{before}" if history else before
    if before is None or not before.isdigit() or int(before) < revision:
        wanted[REVISION] = str(revision)
    return wanted


def template_hash(deployment: Object) -> str:
    collisions = (deployment.get("status") or {}).get("collisionCount")
    return hash_of(deployment["spec"]["template"], collisions)


def desired_set(deployment: Object, *, replicas: int, marks: Mapping[str, str]) -> Object:
    """The ReplicaSet for the Deployment's template; `marks` are its annotations."""
    spec = deployment["spec"]
    hashed = template_hash(deployment)
    template = with_labels(spec["template"], {HASH_LABEL: hashed})
    selector = copy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: hashed}
    wanted: dict[str, Any] = {"replicas": replicas, "selector": selector, "template": template}
    if spec.get("minReadySeconds"):
        wanted["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name(deployment)}-{hashed}",
            "namespace": namespace(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": dict(marks),
            "ownerReferences": [owner_reference(deployment, kinds.DEPLOYMENTS)],
        },
        "spec": wanted,
    }


def plan_cleanup(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Sets beyond revisionHistoryLimit, oldest revision first; only those that are at rest."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = sorted(
        (rs for rs in old if not is_deleting(rs)), key=lambda rs: (revision_of(rs), age(rs))
    )
    surplus = alive[: max(0, len(alive) - int(limit))]
    return [rs for rs in surplus if _at_rest(rs)]


def _at_rest(replica_set: Object) -> bool:
    status = replica_set.get("status") or {}
    generation = replica_set["metadata"].get("generation") or 0
    return not (
        status.get("replicas")
        or replica_set["spec"].get("replicas", 1)
        or generation > (status.get("observedGeneration") or 0)
    )
