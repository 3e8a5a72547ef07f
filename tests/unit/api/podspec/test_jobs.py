"""What a Job's indexes and policies may say."""

from __future__ import annotations

import pytest

from netemu.api.podspec.jobpolicies import count_indexes
from netemu.api.podspec.jobs import check_job_spec, default_job_spec

CODES = {"operator": "In", "values": [1, 42]}
GONE = [{"type": "DisruptionTarget", "status": "True"}]
INDEXED = {"completionMode": "Indexed", "completions": 3}


def wrong(restart="Never", **spec):
    container = {"name": "c", "image": "busybox"}
    spec = {"template": {"spec": {"containers": [container], "restartPolicy": restart}}, **spec}
    default_job_spec(spec)
    return [f"{cause.field}: {cause.message}" for cause in check_job_spec(spec, "spec")]


def by_rule(restart="Never", **rule):
    return wrong(restart, podFailurePolicy={"rules": [rule]})


def test_what_is_right():
    assert by_rule(action="FailJob", onExitCodes=CODES) == []
    assert by_rule(action="Ignore", onPodConditions=GONE) == []
    rules = [{"succeededIndexes": "0,2", "succeededCount": 2}]
    assert wrong(**INDEXED, successPolicy={"rules": rules}) == []
    assert wrong(managedBy="example.com/queue") == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"onExitCodes": CODES}, 'action: Required value: valid values: ["Count" "FailIndex"'),
        ({"action": "Stop", "onExitCodes": CODES}, 'action: Unsupported value: "Stop"'),
        ({"action": "FailIndex", "onExitCodes": CODES}, "requires the backoffLimitPerIndex"),
        ({"action": "Count"}, "specifying one of OnExitCodes and OnPodConditions is required"),
        (
            {"action": "Count", "onExitCodes": CODES, "onPodConditions": GONE},
            "specifying both OnExitCodes and OnPodConditions is not supported",
        ),
        ({"action": "Count", "onExitCodes": {**CODES, "values": [0]}}, "must not be 0 for the In"),
        ({"action": "Count", "onExitCodes": {**CODES, "values": [2, 1]}}, "must be ordered"),
        ({"action": "Count", "onExitCodes": {**CODES, "values": [1, 1]}}, "Duplicate value: 1"),
        ({"action": "Count", "onExitCodes": {**CODES, "values": []}}, "at least one value"),
        ({"action": "Count", "onExitCodes": {**CODES, "containerName": "x"}}, "must be one of the"),
        ({"action": "Count", "onPodConditions": [{"type": "Ready"}]}, "status: Required value"),
    ],
)
def test_wrong_failure_rules(rule, message):
    (found,) = by_rule(**rule)
    assert found.startswith("spec.podFailurePolicy.rules[0]")
    assert message in found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: requires"),
        ({**INDEXED, "maxFailedIndexes": 1}, "spec.backoffLimitPerIndex: Required value: when"),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ),
        (
            {**INDEXED, "completions": 200_000, "backoffLimitPerIndex": 1},
            "spec.maxFailedIndexes: Required value: must be specified when completions is above",
        ),
        ({**INDEXED, "parallelism": 2**31 - 1}, "spec.parallelism: Invalid value: 2147483647"),
        ({"successPolicy": {"rules": []}}, "spec.successPolicy: Invalid value"),
        ({**INDEXED, "successPolicy": {"rules": []}}, "spec.successPolicy.rules: Required value"),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 4}]}},
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0-3"}]}},
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-3": error parsing',
        ),
        ({"podReplacementPolicy": "Never"}, "spec.podReplacementPolicy: Unsupported value"),
        ({"managedBy": "me"}, "spec.managedBy: Invalid value"),
    ],
)
def test_wrong_specs(spec, expected):
    (found,) = wrong(**spec)
    assert found.startswith(expected)


def test_pods_that_a_policy_judges_are_not_restarted_in_place():
    (found,) = by_rule("OnFailure", action="FailJob", onExitCodes=CODES)
    assert 'only "Never" is supported when podFailurePolicy is specified' in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("0-3,7", 5),
        ("0-1999999999", 2_000_000_000),
        ("1-2-3", "at most two parts"),
        ("a", "cannot convert"),
        ("3,1", "non-increasing order"),
        ("5-5", "non-increasing order"),
        ("2000000000", "too large index"),
    ],
)
def test_indexes_are_counted_not_listed(text, expected):
    found = count_indexes(text, 2_000_000_000)
    assert found == expected if isinstance(expected, int) else expected in str(found)
