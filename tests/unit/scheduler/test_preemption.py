"""Who has to go for a more important pod."""

from __future__ import annotations

from netemu.scheduler.decide import decide
from netemu.scheduler.preemption import plan_preemption


def plan(pod, nodes, protected=lambda victim: False):
    found = plan_preemption(pod, nodes, decide(pod, nodes).reasons, protected)
    return found and (found.node, [victim.name for victim in found.victims])


def test_the_least_important_goes(pod, node):
    nodes = [
        node("a", None, pod("x", priority=5), max_pods=1),
        node("b", None, pod("y", priority=1), max_pods=1),
    ]
    assert plan(pod(priority=10), nodes) == ("b", ["y"])


def test_nobody_goes_for_an_equal(pod, node):
    nodes = [node("a", None, pod("x", priority=10), max_pods=1)]
    assert plan(pod(priority=10), nodes) is None


def test_only_as_many_as_needed(pod, node):
    small = [pod(f"p{i}", requests={"cpu": "1"}, priority=i) for i in range(4)]
    nodes = [node("a", None, *small, cpu="4")]
    assert plan(pod(requests={"cpu": "2"}, priority=100), nodes) == ("a", ["p1", "p0"])


def test_a_budget_is_respected_where_another_choice_exists(pod, node):
    guarded, other = pod("guarded", priority=1), pod("other", priority=2)
    nodes = [node("a", None, guarded, max_pods=1), node("b", None, other, max_pods=1)]
    found = plan(pod(priority=10), nodes, protected=lambda victim: victim.name == "guarded")
    assert found == ("b", ["other"])


def test_no_help_where_pods_are_not_the_problem(pod, node):
    nodes = [node("a", None, pod("x"), unschedulable=True)]
    assert plan(pod(priority=10), nodes) is None


def test_preemption_policy_never(pod, node):
    nodes = [node("a", None, pod("x"), max_pods=1)]
    assert plan(pod(priority=10, preemptionPolicy="Never"), nodes) is None
