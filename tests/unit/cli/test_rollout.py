"""`netemu rollout` and `scale`. Texts are kubectl's."""

from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import DEPLOYMENTS, REPLICA_SETS
from netemu.cli.readiness import daemon_set, deployment, job, judge, pod, stateful_set

Run = Callable[..., Any]


def template(image: str, **labels: str) -> dict[str, Any]:
    containers = [{"name": "c", "image": image}]
    return {"metadata": {"labels": {"app": "web", **labels}}, "spec": {"containers": containers}}


@pytest.fixture
def web(cluster: Any, space: str) -> str:
    """A Deployment at its second revision, as its controller would have left it."""
    selector = {"matchLabels": {"app": "web"}}
    annotations = {"deployment.kubernetes.io/revision": "2"}
    metadata = {"name": "web", "namespace": space, "annotations": annotations}
    spec = {"replicas": 2, "selector": selector, "template": template("nginx:2")}
    made = cluster.create(DEPLOYMENTS, {"metadata": metadata, "spec": spec})
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    for number, cause in ((1, "first try"), (2, "")):
        notes = {"deployment.kubernetes.io/revision": str(number)}
        if cause:
            notes["kubernetes.io/change-cause"] = cause
        hashed = {"pod-template-hash": f"h{number}"}
        cluster.create(
            REPLICA_SETS,
            {
                "metadata": {
                    "name": f"web-h{number}",
                    "namespace": space,
                    "annotations": notes,
                    "ownerReferences": [owner],
                    "labels": {"app": "web", **hashed},
                },
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {"app": "web", **hashed}},
                    "template": template(f"nginx:{number}", **hashed),
                },
            },
        )
    return space


def test_history(netemu: Run, web: str) -> None:
    assert netemu("rollout", "history", "deploy/web", "-n", web).out == (
        "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         first try\n2         <none>\n\n"
    )
    shown = netemu("rollout", "history", "deploy/web", "-n", web, "--revision=1").out
    assert shown.startswith(
        "deployment.apps/web with revision #1\nPod Template:\n  Labels:  app=web"
    )
    assert "Image:         nginx:1" in shown
    done = netemu("rollout", "history", "deploy/web", "-n", web, "--revision=9")
    assert done.code == 1 and "unable to find the specified revision" in done.err


def test_undo(netemu: Run, web: str, cluster: Any) -> None:
    done = netemu("rollout", "undo", "deployment", "web", "-n", web)
    assert done.out == "deployment.apps/web rolled back\n"
    live = cluster.get(DEPLOYMENTS, "web", web)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    assert "pod-template-hash" not in live["spec"]["template"]["metadata"]["labels"]
    assert live["metadata"]["annotations"]["kubernetes.io/change-cause"] == "first try"
    done = netemu("rollout", "undo", "deploy/web", "-n", web, "--to-revision=7")
    assert done.code == 1 and "unable to find specified revision 7" in done.err


def test_pause_resume_restart(netemu: Run, web: str, cluster: Any) -> None:
    assert netemu("rollout", "pause", "deploy/web", "-n", web).out == "deployment.apps/web paused\n"
    done = netemu("rollout", "pause", "deploy/web", "-n", web)
    assert done.code == 1 and 'deployments.apps "web" is already paused' in done.err
    assert netemu("rollout", "restart", "deploy/web", "-n", web).code == 1
    assert netemu("rollout", "undo", "deploy/web", "-n", web).code == 1
    done = netemu("rollout", "resume", "deploy/web", "-n", web)
    assert done.out == "deployment.apps/web resumed\n"
    done = netemu("rollout", "restart", "deploy/web", "-n", web)
    assert done.out == "deployment.apps/web restarted\n"
    annotations = cluster.get(DEPLOYMENTS, "web", web)["spec"]["template"]["metadata"][
        "annotations"
    ]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_status_follows(netemu: Run, web: str, cluster: Any) -> None:
    def finish() -> None:
        numbers = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        status = {"observedGeneration": 1, **dict.fromkeys(numbers, 2)}
        cluster.set_status(DEPLOYMENTS, "web", status, web)

    cluster.set_status(
        DEPLOYMENTS, "web", {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1}, web
    )
    finishing = cluster.after_watch(finish)
    done = netemu("rollout", "status", "deploy/web", "-n", web)
    finishing.join(60)
    assert done.code == 0
    assert done.out.splitlines() == [
        'Waiting for deployment "web" rollout to finish: 1 out of 2 new replicas have been'
        " updated...",
        'deployment "web" successfully rolled out',
    ]


def test_status_of_a_stuck_rollout(netemu: Run, web: str, cluster: Any) -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {"observedGeneration": 1, "conditions": [condition]}
    cluster.set_status(DEPLOYMENTS, "web", status, web)
    done = netemu("rollout", "status", "deploy/web", "-n", web)
    assert done.code == 1
    assert 'error: deployment "web" exceeded its progress deadline' in done.err
    assert "try: netemu rollout undo deployment.apps/web" in done.err


def test_other_kinds_have_no_rollout(netemu: Run, web: str) -> None:
    done = netemu("rollout", "status", "svc/web", "-n", web)
    assert done.code == 1 and "no rollout of services" in done.err


def test_scale(netemu: Run, web: str, cluster: Any) -> None:
    done = netemu("scale", "deploy/web", "--replicas=5", "-n", web)
    assert done.out == "deployment.apps/web scaled\n"
    assert cluster.get(DEPLOYMENTS, "web", web)["spec"]["replicas"] == 5
    done = netemu("scale", "deploy/web", "--replicas=1", "--current-replicas=4", "-n", web)
    assert done.code == 1 and "Expected replicas to be 4, was 5" in done.err
    done = netemu("scale", "cm/x", "--replicas=1", "-n", web)
    assert done.code == 1 and "cannot scale configmap/x" in done.err
    assert netemu("scale", "deploy/web", "--replicas=-1", "-n", web).code == 2


def obj(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": "x", "generation": 2},
        "spec": spec,
        "status": {"observedGeneration": 2, **status},
    }


@pytest.mark.parametrize(
    ("spec", "status", "done", "text"),
    [
        (
            {"replicas": 3},
            {"updatedReplicas": 3, "replicas": 4},
            False,
            "1 old replicas are pending termination...",
        ),
        (
            {"replicas": 3},
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2},
            False,
            "2 of 3 updated replicas are available...",
        ),
        ({"replicas": 0}, {}, True, "successfully rolled out"),
        ({"replicas": 1}, {"observedGeneration": 1}, False, "spec update to be observed"),
    ],
)
def test_deployments(spec: Any, status: Any, done: bool, text: str) -> None:
    verdict = deployment(obj("Deployment", spec, status))
    assert verdict.done is done and text in verdict.text and not verdict.failed


@pytest.mark.parametrize(
    ("spec", "status", "done", "text"),
    [
        ({"replicas": 3}, {"readyReplicas": 1}, False, "Waiting for 2 pods to be ready..."),
        (
            {"replicas": 1},
            {"readyReplicas": 1, "updateRevision": "b", "currentRevision": "a"},
            False,
            "0 pods at revision b",
        ),
        (
            {"replicas": 1},
            {"readyReplicas": 1, "updateRevision": "b", "currentRevision": "b"},
            True,
            "rolling update complete",
        ),
        (
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {"readyReplicas": 3, "updatedReplicas": 1},
            True,
            "partitioned roll out complete: 1 new pods",
        ),
        ({"replicas": 1, "updateStrategy": {"type": "OnDelete"}}, {"readyReplicas": 1}, True, ""),
    ],
)
def test_stateful_sets(spec: Any, status: Any, done: bool, text: str) -> None:
    verdict = stateful_set(obj("StatefulSet", spec, status))
    assert verdict.done is done and text in verdict.text


def test_daemon_sets() -> None:
    status = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}
    assert not daemon_set(obj("DaemonSet", {}, status)).done
    assert daemon_set(obj("DaemonSet", {}, {**status, "numberAvailable": 3})).done


def test_pods_and_jobs() -> None:
    assert pod(obj("Pod", {}, {"phase": "Succeeded"})).done
    assert pod(obj("Pod", {}, {"phase": "Failed", "reason": "Evicted"})).failed
    scheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    verdict = pod(obj("Pod", {}, {"phase": "Pending", "conditions": [scheduled]}))
    assert not verdict.done and "0/3 nodes are available" in verdict.text
    assert job(obj("Job", {}, {"active": 1})).done
    assert not job(obj("Job", {}, {})).done
    failed = {"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}
    assert job(obj("Job", {}, {"conditions": [failed]})).failed


def test_kinds_without_an_end_are_done() -> None:
    assert judge({"kind": "ConfigMap"}).done
