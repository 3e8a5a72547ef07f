"""A Job's spec: its defaults and rules, which CronJobs share.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from netemu.api.invalid import not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.objectrules import not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_template

_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)


def default_job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for key, value in (
        ("parallelism", 1),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        (
            "podReplacementPolicy",
            "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
        ),
    ):
        if spec.get(key) is None:
            spec[key] = value
    if spec.get("backoffLimit") is None:
        indexed = spec.get("backoffLimitPerIndex") is not None
        spec["backoffLimit"] = (1 << 31) - 1 if indexed else 6
    default_template(spec.setdefault("template", {}))


def check_job_spec(spec: Object, path: str) -> list[Cause]:
    causes = not_negative(spec, path, *_COUNTS)
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        where = f"{path}.completionMode"
        causes.append(not_supported(where, mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed" and spec.get("completions") is None:
        message = "when completion mode is Indexed"
        causes.append(required(f"{path}.completions", message))
    template = spec.get("template") or {}
    causes += check_template(template, f"{path}.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    where = f"{path}.template.spec.restartPolicy"
    if policy in (None, "Always"):
        causes.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        causes.append(not_supported(where, policy, ("OnFailure", "Never")))
    return causes
