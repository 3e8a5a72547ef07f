"""LimitRanges: defaults that they fill in, and pods and claims that they refuse."""

from __future__ import annotations

import pytest

from netemu.api import kinds
from netemu.api.limitrules import apply_defaults, refusals


def limits(type_="Container", **sides):
    return {"metadata": {"name": "r"}, "spec": {"limits": [{"type": type_, **sides}]}}


def pod(**resources):
    return {"spec": {"containers": [{"name": "c", "resources": resources}]}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
        ({"requests": {"cpu": "500m"}}, {"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}}),
        ({"limits": {"cpu": "3"}}, {"limits": {"cpu": "3"}, "requests": {"cpu": "3"}}),
    ],
)
def test_defaults(given, expected):
    subject = pod(**given)
    apply_defaults([limits(default={"cpu": "2"}, defaultRequest={"cpu": "1"})], subject)
    assert subject["spec"]["containers"][0]["resources"] == expected


@pytest.mark.parametrize(
    ("rule", "given", "expected"),
    [
        ({"min": {"memory": "100Mi"}}, {"requests": {"memory": "200Mi"}}, []),
        (
            {"min": {"memory": "100Mi"}},
            {"requests": {"memory": "50Mi"}},
            ["minimum memory usage per Container is 100Mi, but request is 50Mi"],
        ),
        (
            {"max": {"cpu": "1"}},
            {"limits": {"cpu": "1500m"}},
            ["maximum cpu usage per Container is 1, but limit is 1500m"],
        ),
        (
            {"max": {"cpu": "1"}},
            {},
            ["maximum cpu usage per Container is 1. No limit is specified"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            ["cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"],
        ),
    ],
)
def test_refusals(rule, given, expected):
    assert refusals([limits(**rule)], kinds.PODS, pod(**given)) == expected


def test_a_whole_pod_and_a_claim():
    big = pod(limits={"cpu": "3"}, requests={"cpu": "3"})
    assert refusals([limits("Pod", max={"cpu": "2"})], kinds.PODS, big)
    claim = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    small = limits("PersistentVolumeClaim", min={"storage": "2Gi"})
    assert refusals([small], kinds.PERSISTENT_VOLUME_CLAIMS, claim) == [
        "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"
    ]
