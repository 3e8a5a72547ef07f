"""`netemu apply` and `create` against a real API server."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES
from netemu.cli.threeway import LAST_APPLIED

Run = Callable[..., Any]


def config_map(name: str = "cm", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def service(name: str = "web", port: int = 80) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_created_unchanged_configured(netemu: Run, write: Run, cluster: Any, space: str) -> None:
    path = write("a.json", config_map(a="1", b="2"))
    assert netemu("apply", "-f", path, "-n", space).out == "configmap/cm created\n"
    assert netemu("apply", "-f", path, "-n", space).out == "configmap/cm unchanged\n"
    write("a.json", config_map(a="9"))
    assert netemu("apply", "-f", path, "-n", space).out == "configmap/cm configured\n"
    live = cluster.get(CONFIG_MAPS, "cm", space)
    assert live["data"] == {"a": "9"}
    remembered = json.loads(live["metadata"]["annotations"][LAST_APPLIED])
    assert remembered["data"] == {"a": "9"}
    assert remembered["metadata"] == {"annotations": {}, "name": "cm", "namespace": space}


def test_what_others_set_survives(netemu: Run, write: Run, cluster: Any, space: str) -> None:
    path = write("a.json", service(port=80))
    netemu("apply", "-f", path, "-n", space)
    before = cluster.get(SERVICES, "web", space)
    netemu("label", "svc", "web", "by=hand", "-n", space)
    write("a.json", service(port=81))
    assert netemu("apply", "-f", path, "-n", space).code == 0
    after = cluster.get(SERVICES, "web", space)
    assert after["spec"]["ports"][0]["port"] == 81
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert after["metadata"]["labels"] == {"by": "hand"}


def test_an_object_that_was_created_otherwise(netemu: Run, write: Run, space: str) -> None:
    path = write("a.json", config_map(a="1"))
    assert netemu("create", "-f", path, "-n", space).out == "configmap/cm created\n"
    done = netemu("apply", "-f", path, "-n", space)
    assert done.out == "configmap/cm configured\n"
    assert f"configmaps/cm is missing the {LAST_APPLIED} annotation" in done.err


def test_nothing_is_sent_when_a_document_cannot_be_read(
    netemu: Run, write: Run, cluster: Any, space: str
) -> None:
    good = json.dumps(config_map("good"))
    path = write("x.yaml", f"{good}\n---\na: [\n")
    done = netemu("apply", "-f", path, "-n", space)
    assert done.code == 1 and done.out == ""
    assert f"error: {path}: document 2 (line 2): line 4, column 1:" in done.err
    assert netemu("get", "cm", "good", "-n", space).code == 1


def test_unknown_kinds_are_named_before_anything_is_sent(
    netemu: Run, write: Run, space: str
) -> None:
    documents = [
        json.dumps(config_map("good")),
        json.dumps({"apiVersion": "v1", "kind": "Servce", "metadata": {"name": "x"}}),
        json.dumps({"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "x"}}),
    ]
    path = write("x.yaml", "\n---\n".join(documents))
    done = netemu("apply", "-f", path, "-n", space)
    assert done.code == 1 and done.out == ""
    assert (
        'document 2 (line 3): no matches for kind "Servce" in version "v1"; did you mean kind'
        ' "Service"?' in done.err
    )
    assert 'did you mean apiVersion "apps/v1"?' in done.err
    assert netemu("get", "cm", "good", "-n", space).code == 1


def test_a_refused_object_is_named_and_the_others_are_applied(
    netemu: Run, write: Run, space: str
) -> None:
    path = write(
        "x.yaml",
        "\n---\n".join(json.dumps(service(f"s{i}", port)) for i, port in enumerate((80, 0, 81))),
    )
    done = netemu("apply", "-f", path, "-n", space, "--no-wait")
    assert done.code == 1
    assert done.out == "service/s0 created\nservice/s2 created\n"
    assert f"error: {path}: document 2 (line 3):" in done.err
    assert 'The Service "s1" is invalid' in done.err and "spec.ports[0].port" in done.err
    assert "error: 2 of 3 objects applied, 1 refused" in done.err


def test_unknown_fields_are_refused(netemu: Run, write: Run, space: str) -> None:
    obj = service()
    obj["spec"]["selectr"] = {}
    done = netemu("apply", "-f", write("x.json", obj), "-n", space)
    assert done.code == 1
    assert 'unknown field "spec.selectr"' in done.err


def test_namespaces_must_agree(netemu: Run, write: Run, space: str) -> None:
    obj = config_map()
    obj["metadata"]["namespace"] = "elsewhere"
    done = netemu("apply", "-f", write("x.json", obj), "-n", space)
    assert done.code == 1
    assert 'the namespace from the provided object "elsewhere" does not match' in done.err


@pytest.mark.parametrize(("how", "note"), [("client", "(dry run)"), ("server", "(server dry run)")])
def test_dry_runs_leave_nothing(netemu: Run, write: Run, space: str, how: str, note: str) -> None:
    path = write("a.json", config_map(a="1"))
    done = netemu("apply", "-f", path, "-n", space, f"--dry-run={how}")
    assert done.out == f"configmap/cm created {note}\n"
    assert netemu("get", "cm", "cm", "-n", space).code == 1


def test_standard_input_and_output_forms(
    netemu: Run, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form, expected in (("name", "configmap/cm\n"), ("json", None)):
        text = json.dumps(config_map(a="1")).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        done = netemu("apply", "-f", "-", "-n", space, "-o", form)
        assert done.code == 0
        if expected:
            assert done.out == expected
        else:
            assert json.loads(done.out)["data"] == {"a": "1"}


def test_server_side(netemu: Run, write: Run, cluster: Any, space: str) -> None:
    path = write("a.json", config_map(a="1"))
    done = netemu("apply", "-f", path, "-n", space, "--server-side")
    assert done.out == "configmap/cm serverside-applied\n"
    fields = cluster.get(CONFIG_MAPS, "cm", space)["metadata"]["managedFields"]
    assert [(f["manager"], f["operation"]) for f in fields] == [("kubectl", "Apply")]


def test_generated_names_cannot_be_applied(netemu: Run, write: Run, space: str) -> None:
    obj = config_map()
    obj["metadata"] = {"generateName": "x-"}
    path = write("a.json", obj)
    done = netemu("apply", "-f", path, "-n", space)
    assert done.code == 1 and "cannot use generate name with apply" in done.err
    created = netemu("create", "-f", path, "-n", space)
    assert created.out.startswith("configmap/x-") and created.out.endswith(" created\n")


def test_create_refuses_what_exists(netemu: Run, write: Run, space: str) -> None:
    path = write("a.json", config_map())
    netemu("create", "-f", path, "-n", space)
    done = netemu("create", "-f", path, "-n", space)
    assert done.code == 1
    assert 'configmaps "cm" already exists' in done.err


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "c", "image": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


ROLLED_OUT = {
    "observedGeneration": 1,
    "replicas": 2,
    "updatedReplicas": 2,
    "readyReplicas": 2,
    "availableReplicas": 2,
}


def test_apply_waits_for_what_it_applied(netemu: Run, write: Run, cluster: Any, space: str) -> None:
    path = write("d.json", deployment("web"))
    netemu("apply", "-f", path, "-n", space, "--no-wait")
    starting = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1}
    cluster.set_status(DEPLOYMENTS, "web", starting, space)
    finished = cluster.after_watch(
        lambda: cluster.set_status(DEPLOYMENTS, "web", ROLLED_OUT, space)
    )
    done = netemu("apply", "-f", path, "-n", space)
    finished.join(60)
    assert done.code == 0, done.err
    assert "1 out of 2 new replicas have been updated..." in done.err
    assert "ready: 1 workload available" in done.err


def test_what_never_becomes_available_is_explained(
    netemu: Run, write: Run, cluster: Any, space: str
) -> None:
    path = write("d.json", deployment("web"))
    netemu("apply", "-f", path, "-n", space, "--no-wait")
    pod = {
        "metadata": {"name": "web-1", "namespace": space, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    }
    cluster.create(PODS, pod)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    statuses = [
        {
            "name": "c",
            "image": "",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": waiting},
        }
    ]
    cluster.set_status(PODS, "web-1", {"phase": "Pending", "containerStatuses": statuses}, space)
    done = netemu("apply", "-f", path, "-n", space, "--timeout=300ms")
    assert done.code == 1
    assert "deployment.apps/web is not available in time" in done.err
    assert "pod/web-1: container c: ImagePullBackOff: no such image" in done.err
    assert f"try: netemu describe deployments web -n {space}" in done.err


def test_a_failed_rollout_ends_the_wait_at_once(
    netemu: Run, write: Run, cluster: Any, space: str
) -> None:
    path = write("d.json", deployment("web"))
    netemu("apply", "-f", path, "-n", space, "--no-wait")
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {"observedGeneration": 1, "conditions": [condition]}
    cluster.set_status(DEPLOYMENTS, "web", status, space)
    done = netemu("apply", "-f", path, "-n", space, "--timeout=60s")
    assert done.code == 1
    assert 'failed: deployment "web" exceeded its progress deadline' in done.err


def test_apply_waits_for_the_barrier(netemu: Run, write: Run, cluster: Any, space: str) -> None:
    cluster.do(cluster.client.report_progress("node-x/proxy", 1))
    path = write("a.json", config_map(a="1"))
    done = netemu("apply", "-f", path, "-n", space, "--timeout=1s")
    assert done.code == 1
    assert done.out == "configmap/cm created\n"
    assert "waiting for node-x/proxy (at 1)" in done.err
    cluster.do(cluster.client.report_progress("node-x/proxy", 10**9))
    done = netemu("apply", "-f", path, "-n", space)
    assert done.code == 0
    assert "1 node holds revision" in done.err


def test_many_workloads_are_waited_for_with_one_watch(
    netemu: Run, write: Run, cluster: Any, space: str
) -> None:
    names = [f"web-{number}" for number in range(5)]
    items = [deployment(name) for name in names]
    path = write("d.json", {"apiVersion": "v1", "kind": "List", "items": items})
    netemu("apply", "-f", path, "-n", space, "--no-wait")

    def roll_out() -> None:
        for name in reversed(names):
            cluster.set_status(DEPLOYMENTS, name, ROLLED_OUT, space)

    finished = cluster.after_watch(roll_out)
    done = netemu("apply", "-f", path, "-n", space)
    finished.join(60)
    assert done.code == 0, done.err
    assert "(and 4 more)" in done.err
    assert "ready: 5 workloads available" in done.err
    cluster.do(cluster.client.delete(DEPLOYMENTS, "web-4", space))
    netemu("apply", "-f", path, "-n", space, "--no-wait")
    done = netemu("apply", "-f", path, "-n", space, "--timeout=200ms")
    assert done.code == 1 and "deployment.apps/web-4 is not available in time" in done.err
