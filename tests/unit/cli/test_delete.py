"""`netemu delete` and `wait`."""

from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import CONFIG_MAPS, PODS

Run = Callable[..., Any]


def make(cluster: Any, space: str, *names: str, finalizers: tuple[str, ...] = ()) -> None:
    for name in names:
        metadata = {"name": name, "namespace": space, "labels": {"app": name[0]}}
        if finalizers:
            metadata["finalizers"] = list(finalizers)
        cluster.create(CONFIG_MAPS, {"metadata": metadata})


def left(netemu: Run, space: str) -> list[str]:
    out: str = netemu("get", "cm", "-n", space, "-o", "name").out
    return [line.removeprefix("configmap/") for line in out.splitlines()]


def test_by_name_by_label_and_all(netemu: Run, cluster: Any, space: str) -> None:
    make(cluster, space, "a1", "a2", "b1", "b2", "c1")
    assert netemu("delete", "cm", "b1", "-n", space).out == 'configmap "b1" deleted\n'
    assert netemu("delete", "cm/b2", "-n", space, "-o", "name").out == "configmap/b2\n"
    assert netemu("delete", "cm", "-l", "app=a", "-n", space).code == 0
    assert left(netemu, space) == ["c1"]
    assert netemu("delete", "cm", "--all", "-n", space).code == 0
    assert left(netemu, space) == []
    done = netemu("delete", "cm", "--all", "-n", space)
    assert (done.code, done.err) == (0, "No resources found\n")


def test_by_file(netemu: Run, cluster: Any, space: str, write: Run) -> None:
    make(cluster, space, "a1")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a1"}}
    path = write("cm.json", obj)
    assert netemu("delete", "-f", path, "-n", space).code == 0
    done = netemu("delete", "-f", path, "-n", space)
    assert done.code == 1 and 'configmaps "a1" not found' in done.err
    assert netemu("delete", "-f", path, "-n", space, "--ignore-not-found").code == 0


def test_a_type_alone_is_a_usage_error(netemu: Run) -> None:
    done = netemu("delete", "cm")
    assert done.code == 2
    assert "no name, label selector, or --all" in done.err


def test_dry_run(netemu: Run, cluster: Any, space: str) -> None:
    make(cluster, space, "a1")
    for how, note in (("client", "(dry run)"), ("server", "(server dry run)")):
        done = netemu("delete", "cm", "a1", "-n", space, f"--dry-run={how}")
        assert done.out == f'configmap "a1" deleted {note}\n'
    assert left(netemu, space) == ["a1"]


def test_waits_until_it_is_gone(netemu: Run, cluster: Any, space: str) -> None:
    make(cluster, space, "held", finalizers=("example.com/hold",))
    done = netemu("delete", "cm", "held", "-n", space, "--timeout=200ms")
    assert done.code == 1
    assert "timed out waiting for the condition on configmap/held" in done.err
    assert "finalizers" in done.err
    patch = {"metadata": {"finalizers": None}}
    released = cluster.after_watch(
        lambda: cluster.do(cluster.client.patch(CONFIG_MAPS, "held", space, patch))
    )
    assert netemu("delete", "cm", "held", "-n", space).code == 0
    released.join(60)


def test_a_successor_of_the_same_name_does_not_count(netemu: Run, cluster: Any, space: str) -> None:
    make(cluster, space, "web", finalizers=("example.com/hold",))

    def replace() -> None:
        patch = {"metadata": {"finalizers": None}}
        cluster.do(cluster.client.patch(CONFIG_MAPS, "web", space, patch))
        make(cluster, space, "web")

    replaced = cluster.after_watch(replace)
    assert netemu("delete", "cm", "web", "-n", space).code == 0
    replaced.join(60)
    assert left(netemu, space) == ["web"]


def test_force_warns(netemu: Run, cluster: Any, space: str) -> None:
    make(cluster, space, "a1")
    done = netemu("delete", "cm", "a1", "-n", space, "--force", "--grace-period=0")
    assert done.out == 'configmap "a1" force deleted\n'
    assert done.err.startswith("Warning: Immediate deletion does not wait")


POD = {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}


@pytest.fixture
def pod(cluster: Any, space: str) -> str:
    cluster.create(PODS, {"metadata": {"name": "web", "namespace": space}, **POD})
    return space


def ready(cluster: Any, space: str, value: str = "True") -> None:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": value}]}
    cluster.set_status(PODS, "web", status, space)


def test_wait_for_a_condition(netemu: Run, cluster: Any, pod: str) -> None:
    becoming = cluster.after_watch(lambda: ready(cluster, pod))
    done = netemu("wait", "--for=condition=Ready", "pod/web", "-n", pod)
    becoming.join(60)
    assert (done.code, done.out) == (0, "pod/web condition met\n")
    done = netemu("wait", "--for=condition=ready=false", "pod/web", "-n", pod, "--timeout=0")
    assert done.code == 1
    assert done.err == "error: timed out waiting for the condition on pods/web\n"


def test_wait_for_a_value(netemu: Run, cluster: Any, pod: str) -> None:
    ready(cluster, pod)
    for goal in (
        "jsonpath={.status.phase}=Running",
        "jsonpath='{.status.phase}'=Running",
        "jsonpath={.status.conditions}",
    ):
        assert netemu("wait", f"--for={goal}", "pod/web", "-n", pod).code == 0, goal
    goal = "jsonpath={.status.phase}=Failed"
    assert netemu("wait", f"--for={goal}", "pod/web", "-n", pod, "--timeout=0").code == 1


def test_wait_for_creation_and_deletion(netemu: Run, cluster: Any, space: str) -> None:
    creating = cluster.after_watch(lambda: make(cluster, space, "new"))
    assert netemu("wait", "--for=create", "cm/new", "-n", space).code == 0
    creating.join(60)
    deleting = cluster.after_watch(
        lambda: cluster.do(cluster.client.delete(CONFIG_MAPS, "new", space))
    )
    assert netemu("wait", "--for=delete", "cm/new", "-n", space).code == 0
    deleting.join(60)
    assert netemu("wait", "--for=delete", "cm/new", "-n", space).code == 0


def test_wait_for_what_is_not_there(netemu: Run, space: str) -> None:
    done = netemu("wait", "--for=condition=Ready", "pod/nope", "-n", space)
    assert done.code == 1 and 'pods "nope" not found' in done.err
    done = netemu("wait", "--for=condition=Ready", "pods", "--all", "-n", space)
    assert done.code == 1 and "no matching resources found" in done.err
    assert netemu("wait", "--for=banana", "pod/x").code == 2
