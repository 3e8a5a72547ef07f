"""The next step of a StatefulSet, by table. A pod is written `ordinal:state:revision`.

States: r ready, p pending, u running but unready, t terminating, f failed.
"""

from __future__ import annotations

import pytest

from netemu.controllers.statefulset.identity import desired_claim_owners, desired_member
from netemu.controllers.statefulset.plan import plan, view_of, wants_current

PHASES = {"r": "Running", "p": "Pending", "u": "Running", "t": "Running", "f": "Failed"}


def pod(text):
    ordinal, state, revision = text.split(":")
    meta = {"name": f"web-{ordinal}", "labels": {"controller-revision-hash": revision}}
    if state == "t":
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ready = "True" if state in "rt" else "False"
    condition = {
        "type": "Ready",
        "status": ready,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {
        "metadata": meta,
        "spec": {},
        "status": {"phase": PHASES[state], "conditions": [condition]},
    }


def owner(replicas, **spec):
    meta = {"name": "web", "namespace": "default", "uid": "u"}
    return {"metadata": meta, "spec": {"replicas": replicas, **spec}}


def rolling(**more):
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": more}}


PARALLEL = {"podManagementPolicy": "Parallel"}


def test_an_absurd_number_of_replicas_is_started_bit_by_bit():
    absurd = owner(2**31 - 1, **PARALLEL)
    first = plan(view_of(absurd, [], 0.0), "a")
    assert first.create == list(range(500))
    far = pod("1000000:r:a")
    view = view_of(absurd, [far], 0.0)
    assert not view.condemned and list(view.slots)[-1] == 1_000_000


@pytest.mark.parametrize(
    ("replicas", "spec", "pods", "create", "delete"),
    [
        (3, {}, [], [0], []),
        (3, {}, ["0:r:a"], [1], []),
        (3, {}, ["0:p:a"], [], []),
        (3, {}, ["0:u:a", "1:r:a"], [], []),
        (3, {}, ["0:r:a", "2:r:a"], [1], []),
        (3, {}, ["0:r:a", "1:f:a", "2:r:a"], [], ["web-1"]),
        (3, {}, ["0:r:a", "1:t:a", "2:r:a"], [], []),
        (3, PARALLEL, ["1:p:a"], [0, 2], []),
        (1, {}, ["0:r:a", "1:r:a", "2:r:a"], [], ["web-2"]),
        (1, {}, ["0:r:a", "1:r:a", "2:t:a"], [], []),
        (1, {}, ["0:u:a", "1:r:a", "2:r:a"], [], []),
        (1, {}, ["0:r:a", "1:r:a", "2:u:a"], [], ["web-2"]),
        (1, {}, ["0:r:a", "1:u:a", "2:u:a"], [], []),
        (1, PARALLEL, ["0:u:a", "1:r:a", "2:p:a"], [], ["web-2", "web-1"]),
        (3, {}, ["0:r:a", "1:r:a", "2:r:a"], [], ["web-2"]),
        (3, {}, ["0:r:a", "1:r:a", "2:r:b"], [], ["web-1"]),
        (3, PARALLEL, ["0:r:a", "1:r:a", "2:u:b"], [], []),
        (3, rolling(partition=2), ["0:r:a", "1:r:a", "2:r:b"], [], []),
        (3, rolling(partition=1), ["0:r:a", "1:r:a", "2:r:b"], [], ["web-1"]),
        (3, {"updateStrategy": {"type": "OnDelete"}}, ["0:r:a", "1:r:a", "2:r:a"], [], []),
        (
            4,
            rolling(maxUnavailable=2),
            ["0:r:a", "1:r:a", "2:r:a", "3:r:a"],
            [],
            ["web-3", "web-2"],
        ),
        (
            4,
            rolling(maxUnavailable="50%"),
            ["0:r:a", "1:r:a", "2:r:a", "3:r:b"],
            [],
            ["web-2", "web-1"],
        ),
        (2, {}, ["0:r:b", "1:r:b"], [], []),
    ],
)
def test_next_step(replicas, spec, pods, create, delete):
    step = plan(view_of(owner(replicas, **spec), [pod(text) for text in pods], 0.0), "b")
    assert step.create == create
    assert [found["metadata"]["name"] for found in step.delete] == delete


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, [False, False, False]),
        (rolling(partition=2), [True, True, False]),
        ({"updateStrategy": {"type": "OnDelete"}}, [False, False, False]),
        ({**rolling(partition=2), "ordinals": {"start": 1}}, [True, True, True]),
    ],
)
def test_which_revision_a_new_pod_gets(spec, expected):
    assert [wants_current(owner(3, **spec), ordinal) for ordinal in range(3)] == expected


def test_a_claim_replaces_a_volume_of_the_same_name():
    claims = [{"metadata": {"name": "data"}, "spec": {}}]
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"volumes": volumes}}
    made = desired_member(owner(1, volumeClaimTemplates=claims), template, "rev", 4)
    assert made["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-4"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert volumes[0] == {"name": "data", "emptyDir": {}}


@pytest.mark.parametrize(
    ("policy", "scaled", "expected"),
    [
        ({}, False, []),
        ({"whenDeleted": "Delete"}, False, ["StatefulSet"]),
        ({"whenScaled": "Delete"}, False, []),
        ({"whenScaled": "Delete"}, True, ["Pod"]),
        ({"whenDeleted": "Delete", "whenScaled": "Retain"}, True, ["StatefulSet"]),
    ],
)
def test_who_owns_a_claim(policy, scaled, expected):
    found = desired_claim_owners(
        owner(1, persistentVolumeClaimRetentionPolicy=policy),
        {"metadata": {"name": "web-0", "uid": "p"}},
        {"metadata": {"name": "data-web-0"}},
        scaled=scaled,
    )
    assert [reference["kind"] for reference in found] == expected
