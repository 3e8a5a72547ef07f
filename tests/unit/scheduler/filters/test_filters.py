"""Where a pod may run: one table for each question."""

from __future__ import annotations

import pytest

from netemu.scheduler import filters

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def objections(pod, *nodes):
    questions = filters.prepare(pod, nodes)
    return [filters.first_objection(questions, node) for node in nodes]


def test_an_ordinary_pod_runs_anywhere(pod, node):
    assert objections(pod(), node("a"), node("b")) == ["", ""]


def test_a_full_node(pod, node):
    full = node("a", None, pod(), pod(), max_pods=2)
    assert objections(pod(), full, node("b")) == ["Too many pods", ""]


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ({"cpu": "500m"}, ""),
        ({"cpu": "1500m"}, "Insufficient cpu"),
        ({"memory": "7Gi"}, "Insufficient memory"),
        ({"example.com/gpu": "1"}, "Insufficient example.com/gpu"),
    ],
)
def test_resources(pod, node, requests, expected):
    used = node("a", None, pod(requests={"cpu": "3", "memory": "2Gi"}))
    assert objections(pod(requests=requests), used) == [expected]


def test_init_containers_count_by_their_peak(pod):
    found = pod(
        requests={"cpu": "1"},
        initContainers=[
            {"name": "big", "resources": {"requests": {"cpu": "3"}}},
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        ],
    )
    assert found.requests == {"cpu": 3000}


def test_cordoned(pod, node):
    toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    cordoned = node("a", unschedulable=True)
    assert objections(pod(), cordoned) == ["node(s) were unschedulable"]
    assert objections(pod(tolerations=[toleration]), cordoned) == [""]


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], "node(s) had untolerated taint {dedicated: db}"),
        ([{"key": "dedicated", "operator": "Equal", "value": "db"}], ""),
        ([{"key": "dedicated", "value": "web"}], "node(s) had untolerated taint {dedicated: db}"),
        ([{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}], ""),
        (
            [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}],
            "node(s) had untolerated taint {dedicated: db}",
        ),
        ([{"operator": "Exists"}], ""),
    ],
)
def test_taints(pod, node, tolerations, expected):
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    assert objections(pod(tolerations=tolerations), node("a", taints=[taint])) == [expected]


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["ssd", "nvme"], True),
        ("NotIn", ["ssd"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["2"], False),
    ],
)
def test_node_affinity(pod, node, operator, values, expected):
    term = {"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}
    wanted = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}
    (found,) = objections(pod(affinity=wanted), node("a", {"disk": "ssd"}))
    assert (not found) == expected


def test_node_affinity_by_name(pod, node):
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    wanted = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}
    first, second = objections(pod(affinity=wanted), node("a"), node("b"))
    assert first == "node(s) didn't match Pod's node affinity/selector"
    assert second == ""


@pytest.mark.parametrize(
    ("theirs", "mine", "clash"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, False),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "127.0.0.2"}, False),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80}, True),
    ],
)
def test_host_ports(pod, node, theirs, mine, clash):
    there = node("a", None, pod(ports=[{"containerPort": 1, **theirs}]))
    (found,) = objections(pod(ports=[{"containerPort": 1, **mine}]), there)
    assert bool(found) == clash


def spread(**more):
    return {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        **more,
    }


def test_topology_spread(pod, node):
    web = {"app": "web"}
    zones = [
        node("a", {"zone": "one"}, pod("", web), pod("", web)),
        node("b", {"zone": "two"}, pod("", web)),
        node("c"),
    ]
    asking = pod("", web, topologySpreadConstraints=[spread()])
    skewed = "node(s) didn't match pod topology spread constraints"
    assert objections(asking, *zones) == [skewed, "", f"{skewed} (missing required label)"]
    loose = pod("", web, topologySpreadConstraints=[spread(maxSkew=2)])
    assert objections(loose, *zones)[0] == ""
    soft = pod("", web, topologySpreadConstraints=[spread(whenUnsatisfiable="ScheduleAnyway")])
    assert objections(soft, *zones) == ["", "", ""]


def near(kind, app="web", **more):
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "zone", **more}
    return {kind: {REQUIRED: [term]}}


def test_pod_affinity(pod, node):
    nodes = [node("a", {"zone": "one"}, pod("", {"app": "web"})), node("b", {"zone": "two"})]
    assert objections(pod(affinity=near("podAffinity")), *nodes) == [
        "",
        "node(s) didn't match pod affinity rules",
    ]
    assert objections(pod(affinity=near("podAntiAffinity")), *nodes) == [
        "node(s) didn't match pod anti-affinity rules",
        "",
    ]


def test_the_first_of_a_group_may_start_anywhere(pod, node):
    itself = pod("", {"app": "web"}, affinity=near("podAffinity"))
    assert objections(itself, node("a", {"zone": "one"}), node("b", {"zone": "two"})) == ["", ""]


def test_those_who_run_have_their_say(pod, node):
    shy = pod("", {"app": "db"}, affinity=near("podAntiAffinity"))
    nodes = [node("a", {"zone": "one"}, shy), node("b", {"zone": "two"})]
    assert objections(pod("", {"app": "web"}), *nodes) == [
        "node(s) didn't satisfy existing pods anti-affinity rules",
        "",
    ]


def test_affinity_looks_into_its_own_namespace_only(pod, node):
    foreign = pod("", {"app": "web"}, namespace="other")
    there = node("a", {"zone": "one"}, foreign)
    assert objections(pod(affinity=near("podAntiAffinity")), there) == [""]
    wide = pod(affinity=near("podAntiAffinity", namespaceSelector={}))
    assert objections(wide, there) != [""]
    named = pod(affinity=near("podAntiAffinity", namespaces=["other"]))
    assert objections(named, there) != [""]
