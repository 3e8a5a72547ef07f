"""`netemu run`, `expose` and `set image`."""

from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import DEPLOYMENTS, PODS, SERVICES

Run = Callable[..., Any]


def test_run(netemu: Run, cluster: Any, space: str) -> None:
    done = netemu(
        "run",
        "web",
        "--image=nginx:1.7.9",
        "--port=80",
        "--env=A=b=c",
        "--restart=Never",
        "-n",
        space,
        "--",
        "-x",
        "y",
    )
    assert done.out == "pod/web created\n", done.err
    pod = cluster.get(PODS, "web", space)
    assert pod["metadata"]["labels"] == {"run": "web"}
    assert pod["spec"]["restartPolicy"] == "Never"
    (container,) = pod["spec"]["containers"]
    assert (container["name"], container["args"]) == ("web", ["-x", "y"])
    assert container["env"] == [{"name": "A", "value": "b=c"}]
    assert container["ports"][0]["containerPort"] == 80
    assert netemu("run", "x", "--image=x", "--env=nope", "-n", space).code == 2


@pytest.fixture
def web(cluster: Any, space: str) -> str:
    labels = {"app": "web"}
    container = {"name": "c", "image": "nginx:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "web", "namespace": space, "labels": {"team": "a"}}
    cluster.create(DEPLOYMENTS, {"metadata": metadata, "spec": spec})
    return space


def test_expose(netemu: Run, cluster: Any, web: str) -> None:
    assert netemu("expose", "deploy/web", "-n", web).out == "service/web exposed\n"
    service = cluster.get(SERVICES, "web", web)
    assert service["metadata"]["labels"] == {"team": "a"}
    assert service["spec"]["selector"] == {"app": "web"}
    assert service["spec"]["ports"][0]["port"] == 8080
    done = netemu(
        "expose",
        "deployment",
        "web",
        "--name=np",
        "--port=80",
        "--target-port=8080",
        "--type=NodePort",
        "-n",
        web,
    )
    assert done.out == "service/np exposed\n"
    spec = cluster.get(SERVICES, "np", web)["spec"]
    assert (spec["type"], spec["ports"][0]["targetPort"]) == ("NodePort", 8080)
    done = netemu("expose", "deploy/web", "-n", web)
    assert done.code == 1 and 'services "web" already exists' in done.err


def test_expose_needs_labels_and_a_port(netemu: Run, cluster: Any, space: str) -> None:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    cluster.create(PODS, {"metadata": {"name": "bare", "namespace": space}, "spec": spec})
    assert "couldn't find port" in netemu("expose", "pod/bare", "-n", space).err
    done = netemu("expose", "pod/bare", "--port=80", "-n", space)
    assert done.code == 1 and "no labels to select by" in done.err


def test_set_image(netemu: Run, cluster: Any, web: str) -> None:
    done = netemu("set", "image", "deploy/web", "c=nginx:2", "-n", web)
    assert done.out == "deployment.apps/web image updated\n"
    (container,) = cluster.get(DEPLOYMENTS, "web", web)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "nginx:2" and container["ports"], "the rest stays"
    assert netemu("set", "image", "deploy/web", "*=nginx:2", "-n", web).out == ""
    done = netemu("set", "image", "deploy/web", "d=nginx:3", "-n", web)
    assert done.code == 1 and 'unable to find container named "d"' in done.err
    assert netemu("set", "image", "deploy/web", "-n", web).code == 2
