"""Endpoints over slices: exactly what is wanted, in few slices, with few changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netemu.controllers.endpointslice.slices import Frame, Group, identity, plan_slices

FRAME = Frame(
    prefix="web",
    namespace="default",
    labels={"kubernetes.io/service-name": "web"},
    owner={"kind": "Service", "name": "web", "uid": "u"},
    placeholder=True,
)
PORTS = ({"name": "", "port": 80, "protocol": "TCP"},)
LIMIT = 4


def endpoint(number, ready=True):
    return {
        "addresses": [f"10.0.{number // 250}.{number % 250 + 1}"],
        "conditions": {"ready": ready},
        "targetRef": {"uid": f"uid-{number}"},
    }


def group(numbers, ready=lambda number: True, ports=PORTS):
    endpoints = [endpoint(number, ready(number)) for number in numbers]
    return Group(ports=ports, endpoints={identity(e): e for e in endpoints})


def applied(existing, plan):
    """The slices after the plan; new ones get a name as the server would give them."""
    changed = {s["metadata"]["name"]: s for s in plan.update}
    gone = {s["metadata"]["name"] for s in plan.delete}
    left = [changed.get(s["metadata"]["name"], s) for s in existing]
    left = [s for s in left if s["metadata"]["name"] not in gone]
    for made in plan.create:
        number = max([int(s["metadata"]["name"][4:]) for s in [*existing, *left]], default=0) + 1
        left.append({**made, "metadata": {**made["metadata"], "name": f"web-{number}"}})
    return left


def numbers_in(slices):
    return sorted(int(e["targetRef"]["uid"][4:]) for s in slices for e in s["endpoints"])


@given(st.lists(st.sets(st.integers(0, 30), max_size=25), min_size=1, max_size=6))
def test_every_step_ends_in_exactly_what_is_wanted(steps):
    slices = []
    for wanted in steps:
        groups = [group(sorted(wanted))] if wanted else []
        plan = plan_slices(FRAME, "IPv4", groups, slices, limit=LIMIT)
        touched = [s["metadata"]["name"] for s in [*plan.update, *plan.delete]]
        assert len(touched) == len(set(touched))
        slices = applied(slices, plan)
        assert numbers_in(slices) == sorted(wanted)
        assert all(len(s["endpoints"]) <= LIMIT for s in slices)
        assert len(slices) >= 1
        again = plan_slices(FRAME, "IPv4", groups, slices, limit=LIMIT)
        assert not (again.create or again.update or again.delete)


def test_only_the_slice_of_a_changed_endpoint_changes():
    slices = applied([], plan_slices(FRAME, "IPv4", [group(range(12))], [], limit=LIMIT))
    changed = group(range(12), ready=lambda number: number != 5)
    plan = plan_slices(FRAME, "IPv4", [changed], slices, limit=LIMIT)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_a_new_endpoint_goes_where_there_is_room():
    slices = applied([], plan_slices(FRAME, "IPv4", [group(range(6))], [], limit=LIMIT))
    plan = plan_slices(FRAME, "IPv4", [group(range(7))], slices, limit=LIMIT)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_different_ports_never_share_a_slice():
    other = ({"name": "", "port": 81, "protocol": "TCP"},)
    groups = [group([1]), group([2], ports=other)]
    plan = plan_slices(FRAME, "IPv4", groups, [], limit=LIMIT)
    assert sorted(s["ports"][0]["port"] for s in plan.create) == [80, 81]


def test_without_endpoints_one_empty_slice_stays():
    slices = applied([], plan_slices(FRAME, "IPv4", [], []))
    assert [(s["endpoints"], s["ports"]) for s in slices] == [([], [])]
    plan = plan_slices(FRAME, "IPv4", [group([1])], slices)
    slices = applied(slices, plan)
    assert numbers_in(slices) == [1]
    assert len(slices) == 1
