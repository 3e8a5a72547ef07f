"""A Job's spec: its defaults and rules, which CronJobs share.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from netemu.api import names
from netemu.api.invalid import invalid, not_supported, required, too_long
from netemu.api.kind import Cause, Object
from netemu.api.objectrules import not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.jobpolicies import check_failure_policy, check_success_policy
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
_MOST_INDEXES = 100_000
"""Of an Indexed Job: pods at a time, failed indexes, and completions without further limits."""
_MOST_OF_MANY = 10_000
"""Pods at a time, and failed indexes, of a Job with more completions than that."""
_LONGEST_MANAGER = 63


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
    causes += _check_indexing(spec, path)
    causes += _check_policies(spec, path)
    if spec.get("managedBy") is not None:
        causes += _check_manager(spec["managedBy"], f"{path}.managedBy")
    template = spec.get("template") or {}
    causes += check_template(template, f"{path}.template")
    return causes + _check_restarts(spec, template, f"{path}.template.spec.restartPolicy")


def _check_restarts(spec: Object, template: Object, where: str) -> list[Cause]:
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in (None, "Always"):
        return [required(where, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [not_supported(where, policy, ("OnFailure", "Never"))]
    if policy != "Never" and spec.get("podFailurePolicy"):
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [invalid(where, policy, text)]
    return []


def _check_indexing(spec: Object, path: str) -> list[Cause]:
    mode, failed = spec.get("completionMode"), spec.get("maxFailedIndexes")
    per_index = spec.get("backoffLimitPerIndex")
    if mode not in (None, "NonIndexed", "Indexed"):
        where = f"{path}.completionMode"
        return [not_supported(where, mode, ("NonIndexed", "Indexed"))]
    causes: list[Cause] = []
    if mode != "Indexed":
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                text = "requires indexed completion mode"
                causes.append(invalid(f"{path}.{field}", spec[field], text))
        return causes
    if failed is not None and per_index is None:
        text = "when maxFailedIndexes is specified"
        causes.append(required(f"{path}.backoffLimitPerIndex", text))
    if (spec.get("parallelism") or 0) > _MOST_INDEXES:
        text = f"must be less than or equal to {_MOST_INDEXES} when completion mode is Indexed"
        causes.append(invalid(f"{path}.parallelism", spec["parallelism"], text))
    if spec.get("completions") is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
        return causes
    if failed is not None:
        causes += _check_failed_indexes(failed, spec["completions"], f"{path}.maxFailedIndexes")
    if per_index is not None and spec["completions"] > _MOST_INDEXES:
        causes += _check_many(spec, path)
    return causes


def _check_failed_indexes(failed: int, completions: int, where: str) -> list[Cause]:
    if failed > completions:
        return [invalid(where, failed, "must be less than or equal to completions")]
    if failed > _MOST_INDEXES:
        return [invalid(where, failed, f"must be less than or equal to {_MOST_INDEXES}")]
    return []


def _check_many(spec: Object, path: str) -> list[Cause]:
    """With limits per index, more completions than 100,000 need bounds for the rest."""
    causes: list[Cause] = []
    failed, above = spec.get("maxFailedIndexes"), f"completions is above {_MOST_INDEXES}"
    if failed is None:
        causes.append(required(f"{path}.maxFailedIndexes", f"must be specified when {above}"))
    elif failed > _MOST_OF_MANY:
        text = f"must be less than or equal to {_MOST_OF_MANY} when {above}"
        causes.append(invalid(f"{path}.maxFailedIndexes", failed, text))
    if (spec.get("parallelism") or 0) > _MOST_OF_MANY:
        text = f"must be less than or equal to {_MOST_OF_MANY} when completions are above "
        text += f"{_MOST_INDEXES} and used with backoff limit per index"
        causes.append(invalid(f"{path}.parallelism", spec["parallelism"], text))
    return causes


def _check_policies(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if spec.get("podFailurePolicy") is not None:
        causes += check_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        causes += check_success_policy(spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        causes.append(not_supported(f"{path}.podReplacementPolicy", replacement, allowed))
    return causes


def _check_manager(manager: str, path: str) -> list[Cause]:
    causes = [too_long(path, _LONGEST_MANAGER)] if len(manager) > _LONGEST_MANAGER else []
    prefix, slash, rest = manager.partition("/")
    if not (slash and prefix and rest) or names.dns1123_subdomain(prefix):
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        causes.append(invalid(path, manager, text))
    return causes
