"""What a pod's failure means for the Job: spec.podFailurePolicy. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import name, namespace


def action_for(job: Object, pod: Object) -> tuple[str, str]:
    """(Count, Ignore, FailIndex or FailJob, the message of the rule that says so)."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for index, rule in enumerate(rules):
        why = _matches(rule, pod)
        if why:
            return rule["action"], f"{why} matching {rule['action']} rule at index {index}"
    return "Count", ""


def _matches(rule: Any, pod: Object) -> str:
    """What about the pod matches; empty when nothing does."""
    where = f"{namespace(pod)}/{name(pod)}"
    if codes := rule.get("onExitCodes"):
        for container, code in _exit_codes(pod, codes.get("containerName")):
            if (code in codes["values"]) == (codes["operator"] == "In"):
                return f"Container {container} for pod {where} failed with exit code {code}"
    for wanted in rule.get("onPodConditions") or ():
        for found in (pod.get("status") or {}).get("conditions") or ():
            same = found["type"] == wanted["type"]
            if same and found["status"] == (wanted.get("status") or "True"):
                return f"Pod {where} has condition {found['type']}"
    return ""


def _exit_codes(pod: Object, container: str | None) -> Iterator[tuple[str, int]]:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for found in status.get(field) or ():
            ended = (found.get("state") or {}).get("terminated")
            if ended and ended.get("exitCode") and container in (None, "", found["name"]):
                yield found["name"], int(ended["exitCode"])
