"""`netemu drain`: which pods may go, and eviction."""

from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import NODES, PODS
from netemu.cli.draining import Drain, sort_out

Run = Callable[..., Any]

RULES = Drain(
    ignore_daemon_sets=False,
    delete_empty_dir=False,
    force=False,
    grace_period=-1,
    evict=True,
    timeout=1.0,
    pod_selector="",
)


def pod(name: str, owner: str = "ReplicaSet", **spec: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "x", "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "ownerReferences": owners}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def test_pods_of_a_controller_just_leave() -> None:
    found = [pod("a"), pod("b", "StatefulSet")]
    assert sort_out(found, RULES) == (found, [], [])


@pytest.mark.parametrize(
    ("found", "obstacle"),
    [
        (pod("a", ""), "cannot delete Pods that declare no controller (use --force to override)"),
        (
            pod("a", "DaemonSet"),
            "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)",
        ),
        (
            pod("a", volumes=[{"name": "v", "emptyDir": {}}]),
            "cannot delete Pods with local storage (use --delete-emptydir-data to override)",
        ),
    ],
)
def test_obstacles(found: dict[str, Any], obstacle: str) -> None:
    assert sort_out([found], RULES)[2] == [f"{obstacle}: default/a"]


def test_flags_turn_obstacles_into_warnings() -> None:
    from dataclasses import replace

    rules = replace(RULES, ignore_daemon_sets=True, force=True, delete_empty_dir=True)
    found = [pod("a", ""), pod("b", "DaemonSet"), pod("c", volumes=[{"emptyDir": {}}])]
    leaving, warnings, obstacles = sort_out(found, rules)
    assert [each["metadata"]["name"] for each in leaving] == ["a", "c"]
    assert warnings == [
        "deleting Pods that declare no controller: default/a",
        "ignoring DaemonSet-managed Pods: default/b",
    ]
    assert obstacles == []


def test_finished_pods_are_no_obstacle() -> None:
    ended = pod("a", "")
    ended["status"]["phase"] = "Succeeded"
    assert sort_out([ended], RULES) == ([ended], [], [])


@pytest.fixture
def node(cluster: Any, space: str) -> str:
    """A node with one bare pod on it."""
    name = f"n-{space}"
    cluster.create(NODES, {"metadata": {"name": name}})
    spec = {"nodeName": name, "containers": [{"name": "c", "image": "nginx"}]}
    cluster.create(PODS, {"metadata": {"name": "web", "namespace": space}, "spec": spec})
    return name


def test_an_obstacle_stops_the_drain(netemu: Run, node: str, space: str) -> None:
    done = netemu("drain", node)
    assert done.code == 1
    assert done.out == f"node/{node} cordoned\n"
    assert (
        f'error: unable to drain node "{node}" due to error: [cannot delete Pods that declare'
        f" no controller (use --force to override): {space}/web]" in done.err
    )
    assert netemu("get", "pod", "web", "-n", space).code == 0


def test_pods_are_evicted_and_waited_for(netemu: Run, cluster: Any, node: str, space: str) -> None:
    ending = cluster.after_watch(
        lambda: cluster.do(cluster.client.delete(PODS, "web", space, grace_period_seconds=0))
    )
    done = netemu("drain", node, "--force")
    ending.join(60)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"node/{node} cordoned",
        f"evicting pod {space}/web",
        "pod/web evicted",
        f"node/{node} drained",
    ]
