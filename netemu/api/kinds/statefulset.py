"""StatefulSet: pods with names, DNS names and volumes of their own, in order.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME
from netemu.api.invalid import forbidden, invalid, required
from netemu.api.kind import Cause, Column, Kind, Object, ScalePaths
from netemu.api.kinds.deployment import ready
from netemu.api.objectrules import not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_status_counts, check_workload
from netemu.api.rollout import check_amount, is_zero

_CHANGEABLE = frozenset(
    (
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    )
)
_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
    "'minReadySeconds' are forbidden"
)


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        if strategy.get("rollingUpdate") is None:
            strategy["rollingUpdate"] = {}
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        retention.setdefault(key, "Retain")
    for key, value in (("replicas", 1), ("revisionHistoryLimit", 10)):
        if spec.get(key) is None:
            spec[key] = value
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    default_template(spec.setdefault("template", {}))


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"replicas": 0, "availableReplicas": 0}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _check_policies(spec)
    causes += not_negative(spec, "spec", "replicas", "minReadySeconds")
    causes += not_negative(spec.get("ordinals") or {}, "spec.ordinals", "start")
    causes += check_workload(_with_claims(spec), "StatefulSet")
    if old is not None:
        before = old.get("spec") or {}
        if any(
            spec.get(key) != before.get(key) for key in {*spec, *before}.difference(_CHANGEABLE)
        ):
            causes.append(forbidden("spec", _FORBIDDEN))
    return causes


def _with_claims(spec: Object) -> Object:
    """The spec with a volume for each claim template: the pods' containers mount them."""
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    volumes = list(pod.get("volumes") or ())
    known = {volume.get("name") for volume in volumes}
    for claim in spec.get("volumeClaimTemplates") or ():
        name = (claim.get("metadata") or {}).get("name")
        if name and name not in known:
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    if not volumes:
        return spec
    return {**spec, "template": {**template, "spec": {**pod, "volumes": volumes}}}


def _check_policies(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    management = spec.get("podManagementPolicy")
    if management not in ("OrderedReady", "Parallel"):
        message = "must be 'OrderedReady' or 'Parallel'"
        causes.append(invalid("spec.podManagementPolicy", management, message))
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    where = "spec.updateStrategy.rollingUpdate"
    if not kind:
        causes.append(required("spec.updateStrategy"))
    elif kind == "OnDelete":
        if rolling is not None:
            message = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(invalid(where, rolling, message))
    elif kind == "RollingUpdate":
        causes += not_negative(rolling or {}, where, "partition")
        unavailable = (rolling or {}).get("maxUnavailable")
        if unavailable is not None:
            causes += check_amount(unavailable, f"{where}.maxUnavailable", at_most_all=True)
            if is_zero(unavailable):
                causes.append(invalid(f"{where}.maxUnavailable", unavailable, "cannot be 0"))
    else:
        message = "must be 'RollingUpdate' or 'OnDelete'"
        causes.append(invalid("spec.updateStrategy", strategy, message))
    for key, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if value not in ("Retain", "Delete"):
            where = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
            causes.append(invalid(where, value, "must be Retain or Delete"))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return check_status_counts(obj.get("status") or {})


STATEFUL_SETS = Kind(
    group="apps",
    plural="statefulsets",
    kind="StatefulSet",
    short_names=("sts",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.StatefulSet",
    name_rule="dns1123-label",
    subresources=frozenset(("scale", "status")),
    scale=ScalePaths(),
    has_generation=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        Column("Ready", ready, description="Number of the pod with ready state"),
        AGE,
        CONTAINERS,
        IMAGES,
    ),
)
