"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/history/controller_history.go
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from netemu.api.kind import Object, Resource
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import copy, name, namespace, owner_reference
from netemu.controllers.podtemplate import hash_of

REVISION_HASH = "controller-revision-hash"
"""Label of pods: which revision they were made from."""
DATA_HASH = "controller.kubernetes.io/hash"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def number(revision: Object) -> int:
    return int(revision.get("revision") or 0)


def ordered(revisions: Iterable[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(
        revisions,
        key=lambda rev: (
            number(rev),
            rev["metadata"].get("creationTimestamp") or "",
            name(rev),
        ),
    )


def data_of(owner: Object) -> dict[str, Any]:
    """What a revision keeps: a patch that restores the template."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Object) -> Object:
    """The template that a revision keeps."""
    kept = dict((revision["data"].get("spec") or {}).get("template") or {})
    kept.pop("$patch", None)
    return kept


def find_equal(revisions: Iterable[Object], owner: Object) -> Object | None:
    """The newest revision with the owner's present template."""
    template = owner["spec"]["template"]
    for revision in reversed(ordered(revisions)):
        if template_of(revision) == template:
            return revision
    return None


def desired_revision(
    owner: Object, owner_kind: Resource, revisions: Iterable[Object], collisions: int
) -> Object:
    """A new revision for the owner's present template."""
    hashed = hash_of(owner["spec"]["template"], collisions or None)
    kept = {k: v for k, v in annotations_of(owner).items() if k != _LAST_APPLIED}
    labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    meta: dict[str, Any] = {
        "name": f"{name(owner)}-{hashed}",
        "namespace": namespace(owner),
        "labels": {**labels, DATA_HASH: hashed},
        "ownerReferences": [owner_reference(owner, owner_kind)],
    }
    if kept:
        meta["annotations"] = kept
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": meta,
        "data": copy(data_of(owner)),
        "revision": max(map(number, revisions), default=0) + 1,
    }


def plan_truncate(
    revisions: Sequence[Object], live: Collection[str], limit: int | None
) -> list[Object]:
    """Revisions beyond `limit`, oldest first, without those named in `live`."""
    dead = [rev for rev in ordered(revisions) if name(rev) not in live]
    return dead[: max(0, len(dead) - (10 if limit is None else limit))]
