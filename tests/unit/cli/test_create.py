"""`netemu create KIND`: the objects are those that kubectl 1.33 makes of the same flags."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def made(netemu: Run, *words: str) -> Any:
    at = words.index("--") if "--" in words else len(words)
    flags = ("--dry-run=client", "-o", "json")
    done = netemu("create", *words[:at], *flags, *words[at:])
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_deployment(netemu: Run) -> None:
    found = made(
        netemu,
        "deployment",
        "web",
        "--image=reg.io/a/nginx:1.7.9",
        "--replicas=3",
        "--port=80",
        "--",
        "nginx",
        "-g",
        "daemon off;",
    )
    assert found["spec"]["replicas"] == 3
    assert found["metadata"]["labels"] == {"app": "web"}
    assert found["spec"]["template"]["spec"]["containers"] == [
        {
            "name": "nginx",
            "image": "reg.io/a/nginx:1.7.9",
            "ports": [{"containerPort": 80}],
            "command": ["nginx", "-g", "daemon off;"],
        }
    ]


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (
            ["clusterip", "web", "--tcp=80:8080"],
            {
                "type": "ClusterIP",
                "selector": {"app": "web"},
                "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
            },
        ),
        (
            ["clusterip", "web", "--clusterip=None"],
            {"type": "ClusterIP", "selector": {"app": "web"}, "clusterIP": "None"},
        ),
        (
            ["nodeport", "web", "--tcp=80", "--node-port=30080"],
            {
                "type": "NodePort",
                "selector": {"app": "web"},
                "ports": [
                    {
                        "name": "80",
                        "protocol": "TCP",
                        "port": 80,
                        "targetPort": 80,
                        "nodePort": 30080,
                    }
                ],
            },
        ),
        (
            ["externalname", "web", "--external-name=example.com"],
            {"type": "ExternalName", "selector": {"app": "web"}, "externalName": "example.com"},
        ),
    ],
)
def test_services(netemu: Run, words: list[str], spec: dict[str, Any]) -> None:
    assert made(netemu, "service", *words)["spec"] == spec


def test_config_maps_and_secrets(netemu: Run, write: Run) -> None:
    path = write("file.bin", b"\xff\x00")
    words = ("x", "--from-literal=a=1=2", f"--from-file=k={path}")
    found = made(netemu, "configmap", *words)
    assert (found["data"], found["binaryData"]) == ({"a": "1=2"}, {"k": "/wA="})
    found = made(netemu, "secret", "generic", *words)
    assert found["data"] == {"a": "MT0y", "k": "/wA="}
    assert netemu("create", "cm", "x", "--from-literal=nope").code == 2


def test_jobs(netemu: Run) -> None:
    found = made(netemu, "job", "j", "--image=busybox", "--", "echo", "hi")
    pod = found["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["containers"] == [{"name": "j", "image": "busybox", "command": ["echo", "hi"]}]
    found = made(netemu, "cronjob", "c", "--image=busybox", "--schedule=*/5 * * * *")
    assert found["spec"]["schedule"] == "*/5 * * * *"


def test_created_for_real(netemu: Run, space: str) -> None:
    done = netemu("create", "-n", space, "sa", "robot")
    assert done.out == "serviceaccount/robot created\n"
    done = netemu("create", "serviceaccount", "robot", "-n", space)
    assert done.code == 1 and 'serviceaccounts "robot" already exists' in done.err
    assert netemu("create").code == 2
    assert "did you mean 'deployment'?" in netemu("create", "deploymnt", "x").err
