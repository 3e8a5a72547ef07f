"""Rules for a workload's selector and template, which all workload kinds share."""

from __future__ import annotations

from netemu.api import selectors
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.labelrules import check_label_selector, check_labels, is_empty_selector
from netemu.api.objectrules import check_annotations
from netemu.api.podspec.rules import check_pod_spec

MISMATCH = "`selector` does not match template `labels`"


def check_template(template: Object, path: str) -> list[Cause]:
    """A PodTemplateSpec."""
    metadata = template.get("metadata") or {}
    causes = check_labels(metadata.get("labels") or {}, f"{path}.labels")
    causes += check_annotations(metadata.get("annotations") or {}, f"{path}.annotations")
    causes += check_pod_spec(template.get("spec") or {}, f"{path}.spec")
    if (template.get("spec") or {}).get("ephemeralContainers"):
        message = "ephemeral containers not allowed in pod template"
        causes.append(forbidden(f"{path}.spec.ephemeralContainers", message))
    return causes


def check_workload(spec: Object, kind: str, *, needs_selector: bool = True) -> list[Cause]:
    """spec.selector and spec.template of a Deployment, ReplicaSet, StatefulSet or DaemonSet."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    causes: list[Cause] = []
    if selector is None:
        causes += [required("spec.selector")] if needs_selector else []
    else:
        causes += check_label_selector(selector, "spec.selector")
    if causes and selector is not None:
        causes.append(invalid("spec.selector", selector, "invalid label selector"))
    else:
        if selector is not None and is_empty_selector(selector):
            message = f"empty selector is invalid for {kind.lower()}"
            causes.append(invalid("spec.selector", selector, message))
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not selectors.from_label_selector(selector).matches(labels):
            causes.append(invalid("spec.template.metadata.labels", labels, MISMATCH))
    causes += check_template(template, "spec.template")
    return causes + check_always_restarts(template, kind)


def check_always_restarts(template: Object, kind: str) -> list[Cause]:
    pod = template.get("spec") or {}
    causes: list[Cause] = []
    if pod.get("restartPolicy") not in (None, "Always"):
        where = "spec.template.spec.restartPolicy"
        causes.append(not_supported(where, pod["restartPolicy"], ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        where = "spec.template.spec.activeDeadlineSeconds"
        causes.append(forbidden(where, f"activeDeadlineSeconds in {kind} is not Supported"))
    return causes


def check_status_counts(status: Object, *, total: str = "replicas") -> list[Cause]:
    """Counts in a workload's status: not negative, and none above the total."""
    causes = [
        invalid(f"status.{name}", count, "must be greater than or equal to 0")
        for name, count in status.items()
        if isinstance(count, int) and not isinstance(count, bool) and count < 0
    ]
    whole = status.get(total) or 0
    causes += [
        invalid(f"status.{name}", count, f"cannot be greater than status.{total}")
        for name in (
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "updatedReplicas",
        )
        if (count := status.get(name) or 0) > max(whole, 0)
    ]
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        message = "cannot be greater than readyReplicas"
        causes.append(invalid("status.availableReplicas", available, message))
    return causes
