"""`netemu get` and `api-resources`. The texts are those of kubectl 1.33 for the same objects."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from netemu.api.kinds import CONFIG_MAPS, PODS, SERVICES

Run = Callable[..., Any]


@pytest.fixture
def pods(cluster: Any, space: str) -> str:
    """Two pods in a namespace: web-0 runs on n1, web-1 waits."""
    for name in ("web-0", "web-1"):
        cluster.create(
            PODS,
            {
                "metadata": {"name": name, "namespace": space, "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx"}], "nodeName": "n1"},
            },
        )
    running = {
        "phase": "Running",
        "podIP": "10.244.1.2",
        "podIPs": [{"ip": "10.244.1.2"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "c",
                "image": "nginx",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {}},
            }
        ],
    }
    cluster.set_status(PODS, "web-0", running, space)
    return space


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_table(netemu: Run, pods: str) -> None:
    out = rows(netemu("get", "pods", "-n", pods).out)
    assert out[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert out[1][:4] == ["web-0", "1/1", "Running", "0"]
    assert out[2][:4] == ["web-1", "0/1", "Pending", "0"]


def test_the_environment_names_a_namespace(
    netemu: Run, pods: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETEMU_NAMESPACE", pods)
    assert netemu("get", "pod/web-0", "-o", "name").out == "pod/web-0\n"
    assert netemu("get", "pod/web-0", "-n", "default").code == 1


def test_wide(netemu: Run, pods: str) -> None:
    out = rows(netemu("get", "po", "web-0", "-n", pods, "-o", "wide").out)
    assert out[0][5:7] == ["IP", "NODE"]
    assert out[1][5:7] == ["10.244.1.2", "n1"]


def test_all_namespaces_and_selectors(netemu: Run, pods: str) -> None:
    out = netemu(
        "get",
        "pods",
        "-A",
        "-l",
        "app=web",
        "--field-selector",
        f"status.phase=Running,metadata.namespace={pods}",
        "--no-headers",
    ).out
    assert rows(out)[0][:2] == [pods, "web-0"] and len(rows(out)) == 1


@pytest.mark.parametrize("word", ["pod", "pods", "po", "Pod", "pods.v1."])
def test_words_for_a_type(netemu: Run, pods: str, word: str) -> None:
    assert netemu("get", word, "web-0", "-n", pods, "-o", "name").out == "pod/web-0\n"


def test_names_and_a_missing_one(netemu: Run, pods: str) -> None:
    done = netemu("get", "pod", "web-0", "nope", "-n", pods)
    assert done.code == 1
    assert rows(done.out)[1][0] == "web-0"
    assert done.err == 'Error from server (NotFound): pods "nope" not found\n'
    assert netemu("get", "pod", "nope", "-n", pods, "--ignore-not-found").code == 0


def test_several_types_have_their_kind_in_front(netemu: Run, pods: str, cluster: Any) -> None:
    spec = {"ports": [{"port": 80}], "selector": {"app": "web"}}
    cluster.create(SERVICES, {"metadata": {"name": "web", "namespace": pods}, "spec": spec})
    out = netemu("get", "svc,pods", "-n", pods).out
    first, second = out.split("\n\n")
    assert rows(first)[1][0] == "service/web"
    assert rows(second)[1][0] == "pod/web-0"
    everything = netemu("get", "all", "-n", pods).out
    assert "pod/web-0" in everything and "service/web" in everything
    assert netemu("get", "pod/web-0", "svc/web", "-n", pods, "-o", "name").out == (
        "pod/web-0\nservice/web\n"
    )


def test_nothing_found(netemu: Run, space: str) -> None:
    done = netemu("get", "pods", "-n", space)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"No resources found in {space} namespace.\n"
    done = netemu("get", "pods", "-A", "-l", "app=nobody")
    assert done.err == "No resources found\n"


def test_unknown_types_get_a_suggestion(netemu: Run) -> None:
    done = netemu("get", "pdos")
    assert done.code == 1
    assert 'the server doesn\'t have a resource type "pdos"; did you mean "pods"?' in done.err


def test_usage_errors(netemu: Run) -> None:
    assert netemu("get").code == 2
    assert netemu("get", "pods", "-o", "nope").code == 2
    assert netemu("get", "pods", "-o", "jsonpath").code == 2
    assert netemu("get", "pod/a", "b").code == 2
    assert netemu("get", "pod/").code == 2


def test_json_and_yaml(netemu: Run, pods: str) -> None:
    one = netemu("get", "pod", "web-0", "-n", pods, "-o", "json").out
    assert one.startswith('{\n    "apiVersion": "v1",\n    "kind": "Pod",\n')
    assert "managedFields" not in one
    several = json.loads(netemu("get", "pods", "-n", pods, "-o", "json").out)
    assert several["kind"] == "List" and several["metadata"] == {"resourceVersion": ""}
    assert [item["kind"] for item in several["items"]] == ["Pod", "Pod"]
    text = netemu("get", "pods", "-n", pods, "-o", "yaml").out
    assert yaml.safe_load(text) == several
    assert text.startswith("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n")
    empty = netemu("get", "pods", "-n", pods, "-l", "a=b", "-o", "yaml").out
    assert empty == 'apiVersion: v1\nitems: []\nkind: List\nmetadata:\n  resourceVersion: ""\n'


def test_templates(netemu: Run, pods: str) -> None:
    path = '{range .items[*]}{.metadata.name}={.status.phase}{"\\n"}{end}'
    out = netemu("get", "pods", "-n", pods, "-o", f"jsonpath={path}").out
    assert out == "web-0=Running\nweb-1=Pending\n"
    columns = "custom-columns=NAME:.metadata.name,IP:.status.podIP"
    out = netemu("get", "pods", "-n", pods, "-o", columns).out
    assert out == "NAME    IP\nweb-0   10.244.1.2\nweb-1   <none>\n"


def test_labels_and_sorting(netemu: Run, pods: str) -> None:
    out = rows(netemu("get", "pods", "-n", pods, "--show-labels", "-L", "app").out)
    assert out[0][-2:] == ["APP", "LABELS"] and out[1][-2:] == ["web", "app=web"]
    words = ("get", "pods", "-n", pods, "--no-headers", "--sort-by", ".status.phase")
    assert [row[0] for row in rows(netemu(*words).out)] == ["web-1", "web-0"]


def test_objects_of_a_manifest(netemu: Run, pods: str, write: Run) -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": pods}}
    assert netemu("get", "-f", write("p.json", obj), "-o", "name").out == "pod/web-0\n"


def test_watch_goes_on_in_the_same_columns(
    netemu: Run, cluster: Any, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(CONFIG_MAPS, {"metadata": {"name": "first", "namespace": space}})
    import netemu.cli.api as api_module

    real = api_module.Api.watch

    def three(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The first two changes of a watch that would go on for ever."""
        events = real(self, *args, **kwargs)
        for index, event in enumerate(events):
            yield event
            if index == 1:
                return

    monkeypatch.setattr(api_module.Api, "watch", three)

    def change() -> None:
        cluster.create(CONFIG_MAPS, {"metadata": {"name": "second", "namespace": space}})
        cluster.do(cluster.client.delete(CONFIG_MAPS, "first", space))

    acting = cluster.after_watch(change)
    done = netemu("get", "cm", "-n", space, "-w", "--output-watch-events")
    acting.join(60)
    assert [row[:2] for row in rows(done.out)] == [
        ["EVENT", "NAME"],
        ["ADDED", "first"],
        ["ADDED", "second"],
        ["DELETED", "first"],
    ]


def test_api_resources(netemu: Run) -> None:
    out = rows(netemu("api-resources").out)
    assert out[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["pods", "po", "v1", "true", "Pod"] in out
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in out
    names = netemu("api-resources", "-o", "name", "--api-group", "apps").out.splitlines()
    assert "deployments.apps" in names and "pods" not in names
