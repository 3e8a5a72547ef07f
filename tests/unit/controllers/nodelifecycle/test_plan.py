"""Conditions and taints of nodes, by table."""

from __future__ import annotations

import pytest

from netemu.controllers.nodelifecycle.plan import desired_taints, silent_conditions

PREFIX = "node.kubernetes.io/"


def node(ready="True", *, taints=(), unschedulable=False, **conditions):
    found = [{"type": type_, "status": status} for type_, status in conditions.items()]
    if ready:
        found.append({"type": "Ready", "status": ready})
    spec = {"taints": list(taints), "unschedulable": unschedulable}
    meta = {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta, "spec": spec, "status": {"conditions": found}}


def taint(key, effect="NoSchedule"):
    return {"key": PREFIX + key, "effect": effect}


OWN = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (node(), []),
        (node("False"), ["not-ready:NoSchedule", "not-ready:NoExecute"]),
        (node("Unknown"), ["unreachable:NoSchedule", "unreachable:NoExecute"]),
        (node(""), ["not-ready:NoSchedule"]),
        (node(unschedulable=True), ["unschedulable:NoSchedule"]),
        (node(MemoryPressure="True"), ["memory-pressure:NoSchedule"]),
        (node(taints=[taint("unreachable"), taint("unreachable", "NoExecute")]), []),
        (
            node("Unknown", taints=[taint("not-ready", "NoExecute")]),
            ["unreachable:NoSchedule", "unreachable:NoExecute"],
        ),
    ],
)
def test_taints(given, expected):
    found = desired_taints(given, "now")
    assert [f"{t['key'].removeprefix(PREFIX)}:{t['effect']}" for t in found] == expected


def test_taints_of_others_stay_and_ours_keep_their_time():
    since = {**taint("unreachable", "NoExecute"), "timeAdded": "before"}
    found = desired_taints(node("Unknown", taints=[OWN, since]), "now")
    assert found[:2] == [OWN, since]
    assert found[2]["timeAdded"] == "now"


def test_a_silent_node_says_so_in_every_condition():
    found = silent_conditions(node(DiskPressure="False", Custom="True"), "now")
    statuses = {c["type"]: c["status"] for c in found}
    assert statuses == {
        "Ready": "Unknown",
        "MemoryPressure": "Unknown",
        "DiskPressure": "Unknown",
        "PIDPressure": "Unknown",
        "Custom": "True",
    }
    assert next(c for c in found if c["type"] == "Ready")["reason"] == "NodeStatusUnknown"
