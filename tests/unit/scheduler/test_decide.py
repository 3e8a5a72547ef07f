"""The decision: best node, and the words when there is none."""

from __future__ import annotations

import time
from collections import Counter

from netemu.scheduler.decide import decide
from netemu.scheduler.explain import explain

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def place(pods, nodes):
    """Decide one after the other, each on what the one before left."""
    found = []
    by_name = {node.name: node for node in nodes}
    for pod in pods:
        chosen = decide(pod, nodes).node
        if chosen:
            by_name[chosen].add(pod)
        found.append(chosen)
    return found


def test_pods_of_one_owner_spread_evenly(pod, node):
    nodes = [node(f"n{i}") for i in range(3)]
    nodes[0].add(pod(owner="other"))
    chosen = place([pod(owner="web") for _ in range(9)], nodes)
    assert Counter(chosen) == {"n0": 3, "n1": 3, "n2": 3}


def test_the_same_question_has_the_same_answer(pod, node):
    def run():
        return place([pod(owner="web") for _ in range(20)], [node(f"n{i}") for i in range(4)])

    assert run() == run()


def test_preferred_node_affinity(pod, node):
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    wish = {"nodeAffinity": {PREFERRED: [{"weight": 100, "preference": term}]}}
    nodes = [node("a"), node("b", {"disk": "ssd"})]
    assert decide(pod(affinity=wish), nodes).node == "b"


def test_preferred_pod_anti_affinity(pod, node):
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}
    wish = {"podAntiAffinity": {PREFERRED: [{"weight": 100, "podAffinityTerm": term}]}}
    nodes = [node("a", {"host": "a"}, pod("", {"app": "web"})), node("b", {"host": "b"}, pod())]
    assert decide(pod(affinity=wish), nodes).node == "b"


def test_prefer_no_schedule_is_avoided_but_not_forbidden(pod, node):
    taint = {"key": "k", "effect": "PreferNoSchedule"}
    assert decide(pod(), [node("a", taints=[taint]), node("b")]).node == "b"
    assert decide(pod(), [node("a", taints=[taint])]).node == "a"


def test_the_emptier_node_wins(pod, node):
    busy = node("a", None, pod(requests={"cpu": "3"}))
    assert decide(pod(requests={"cpu": "500m"}), [busy, node("b")]).node == "b"


def test_why_not(pod, node):
    nodes = [node("a", unschedulable=True), node("b", max_pods=0), node("c", max_pods=0)]
    found = decide(pod(), nodes)
    assert found.node == ""
    assert explain(found.reasons) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Too many pods. "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )
    assert explain({}) == "no nodes available to schedule pods"


def test_with_many_nodes_the_search_ends_early(pod, node):
    nodes = [node(f"n{i:03}") for i in range(500)]
    found = decide(pod(), nodes, start=450)
    assert found.looked_at == 100
    assert found.node


def test_a_thousand_pods_take_less_than_half_a_second_of_cpu(pod, node):
    nodes = [node(f"n{i}", max_pods=1023) for i in range(3)]
    pods = [pod(owner="web") for _ in range(1000)]
    started = time.process_time()
    place(pods, nodes)
    used = time.process_time() - started
    # No timed tests: this only catches a decision that has become quadratic (100 times slower).
    assert used < 10
