"""Sizes of ReplicaSets during a rollout, by table."""

from __future__ import annotations

import pytest

from netemu.controllers.deployment import rollout, scaling


def deployment(replicas, surge="25%", unavailable="25%"):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    return {"metadata": {"name": "d"}, "spec": spec}


def rs(name, replicas, available=None, desired=None, maximum=None, created="2026-01-01T00:00:00Z"):
    marks = {}
    if desired is not None:
        marks["deployment.kubernetes.io/desired-replicas"] = str(desired)
        marks["deployment.kubernetes.io/max-replicas"] = str(maximum)
    meta = {"name": name, "creationTimestamp": created, "annotations": marks}
    status = {"availableReplicas": replicas if available is None else available}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": status}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (1, "25%", "25%", (1, 0)),
        (10, 0, 0, (0, 1)),
        (10, "0%", "5%", (0, 1)),
        (4, 2, "50%", (2, 2)),
    ],
)
def test_fenceposts(replicas, surge, unavailable, expected):
    assert rollout.fenceposts(deployment(replicas, surge, unavailable)) == expected


@pytest.mark.parametrize(
    ("old", "new", "surge", "expected"),
    [
        (10, 0, 0, {}),  # no room
        (10, 0, 5, {"new": 5}),
        (5, 0, 5, {"new": 10}),
        (10, 2, 5, {"new": 5}),
        (2, 10, 5, {}),  # already there
        (10, 20, 5, {"new": 10}),  # too many of the new ones
    ],
)
def test_the_new_set(old, new, surge, expected):
    sets = [rs("old", old), rs("new", new)]
    assert rollout.plan_new(deployment(10, surge, 0), sets, sets[1]) == expected


@pytest.mark.parametrize(
    ("old", "old_ready", "new", "new_ready", "unavailable", "expected"),
    [
        (10, 10, 0, 0, 2, {"old": 8}),
        (10, 10, 0, 0, 0, {}),
        (8, 8, 4, 4, 2, {"old": 4}),
        (8, 8, 4, 0, 2, {}),  # the new ones are not ready yet
        (8, 5, 4, 0, 4, {"old": 6}),  # two of the broken ones may go
        (10, 0, 2, 2, 2, {"old": 6}),  # all old ones are broken
    ],
)
def test_the_old_sets(old, old_ready, new, new_ready, unavailable, expected):
    newer, older = rs("new", new, new_ready), rs("old", old, old_ready)
    assert rollout.plan_old(deployment(10, 2, unavailable), newer, [older]) == expected


@pytest.mark.parametrize(
    ("before", "after", "surge", "sizes", "expected"),
    [
        (10, 20, 0, {"new": 5, "old": 5}, {"new": 10, "old": 10}),
        (10, 5, 0, {"new": 5, "old": 5}, {"old": 2, "new": 3}),
        (10, 15, 3, {"new": 8, "old": 5}, {"new": 11, "old": 7}),
        (10, 0, 3, {"new": 8, "old": 5}, {"new": 0, "old": 0}),
        (10, 20, 0, {"new": 10}, {"new": 20}),
    ],
)
def test_a_new_size_is_shared_in_proportion(before, after, surge, sizes, expected):
    stamps = {"old": "2026-01-01T00:00:00Z", "new": "2026-01-02T00:00:00Z"}
    sets = {
        name: rs(name, size, 0, before, before + surge, stamps[name])
        for name, size in sizes.items()
    }
    olds = [found for name, found in sets.items() if name != "new"]
    wanted = deployment(after, surge, 0)
    assert scaling.is_scaling(wanted, list(sets.values()))
    assert scaling.plan_scaling(wanted, sets["new"], olds) == expected


def test_a_finished_rollout_scales_old_ones_away():
    new = rs("new", 10, 10, 10, 12)
    assert scaling.plan_scaling(deployment(10), new, [rs("old", 3, 0, 10, 12)]) == {"old": 0}
