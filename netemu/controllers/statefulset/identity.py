"""What makes web-0 web-0: name, hostname, labels, claims. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
"""

from __future__ import annotations

import re
from typing import Any

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import labels, name, namespace, owner_reference, uid
from netemu.controllers.history import REVISION_HASH
from netemu.controllers.podtemplate import desired_pod

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAMED = re.compile(r"(.*)-([0-9]+)")


def ordinal_of(pod: Object) -> int:
    """The number at the end of a pod's name; -1 when there is none."""
    found = _NAMED.fullmatch(name(pod))
    return int(found[2]) if found else -1


def is_member(owner: Object, pod: Object) -> bool:
    """Whether the pod is named as one of the set's."""
    found = _NAMED.fullmatch(name(pod))
    return found is not None and found[1] == name(owner)


def start_ordinal(owner: Object) -> int:
    return int((owner["spec"].get("ordinals") or {}).get("start") or 0)


def revision_of(pod: Object) -> str:
    return labels(pod).get(REVISION_HASH, "")


def claim_templates(owner: Object) -> list[Object]:
    return list(owner["spec"].get("volumeClaimTemplates") or ())


def claim_name(template: Object, owner: Object, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{name(owner)}-{ordinal}"


def _volumes(owner: Object, ordinal: int, present: list[Any]) -> list[Any]:
    templates = claim_templates(owner)
    ours = {template["metadata"]["name"] for template in templates}
    claims = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(template, owner, ordinal)},
        }
        for template in templates
    ]
    return claims + [volume for volume in present if volume["name"] not in ours]


def _identity_labels(owner: Object, ordinal: int) -> dict[str, str]:
    return {POD_NAME: f"{name(owner)}-{ordinal}", POD_INDEX: str(ordinal)}


def desired_member(owner: Object, template: Object, revision: str, ordinal: int) -> Object:
    """The pod with that ordinal, made from the template of `revision`."""
    pod = desired_pod(template, owner, kinds.STATEFUL_SETS, name=f"{name(owner)}-{ordinal}")
    meta, spec = pod["metadata"], pod["spec"]
    meta["labels"] = {
        **(meta.get("labels") or {}),
        **_identity_labels(owner, ordinal),
        REVISION_HASH: revision,
    }
    spec["hostname"] = meta["name"]
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    if volumes := _volumes(owner, ordinal, spec.get("volumes") or []):
        spec["volumes"] = volumes
    return pod


def identity_patch(owner: Object, pod: Object) -> Object | None:
    """A merge patch that gives the pod its identity labels back; None when it has them."""
    wanted = _identity_labels(owner, ordinal_of(pod))
    if wanted.items() <= labels(pod).items():
        return None
    return {"metadata": {"labels": wanted}}


def desired_claim(template: Object, owner: Object, ordinal: int) -> Object:
    """The PersistentVolumeClaim of one template for one ordinal."""
    wanted = owner["spec"].get("selector") or {}
    meta = {
        "name": claim_name(template, owner, ordinal),
        "namespace": namespace(owner),
        "labels": {
            **(template["metadata"].get("labels") or {}),
            **(wanted.get("matchLabels") or {}),
        },
    }
    if template["metadata"].get("annotations"):
        meta["annotations"] = template["metadata"]["annotations"]
    if retention(owner)[0] == "Delete":
        meta["ownerReferences"] = [owner_reference(owner, kinds.STATEFUL_SETS)]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": template["spec"],
    }


def retention(owner: Object) -> tuple[str, str]:
    """(whenDeleted, whenScaled), each Retain or Delete."""
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted", "Retain"), policy.get("whenScaled", "Retain")


def desired_claim_owners(owner: Object, pod: Object, claim: Object, *, scaled: bool) -> list[Any]:
    """The claim's owner references: the set's and the pod's come and go with the policy."""
    when_deleted, when_scaled = retention(owner)
    mine = {uid(owner), uid(pod)}
    kept = [
        reference
        for reference in claim["metadata"].get("ownerReferences") or ()
        if reference["uid"] not in mine and not _stale_pod(reference, pod)
    ]
    if when_scaled == "Delete" and scaled:
        return [*kept, {**owner_reference(pod, kinds.PODS), "controller": False}]
    if when_deleted == "Delete":
        return [*kept, owner_reference(owner, kinds.STATEFUL_SETS)]
    return kept


def _stale_pod(reference: Any, pod: Object) -> bool:
    """A reference to an earlier pod of this name, from a scale-down that was taken back."""
    return bool(reference["kind"] == "Pod" and reference["name"] == name(pod))
