"""`netemu logs` and `port-forward` through a real API server; only the kubelet is ours."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from netemu.api.kinds import DEPLOYMENTS, PODS
from netemu.cli.portforward import Ports, parse_ports

Run = Callable[..., Any]


def make_pod(cluster: Any, space: str, name: str, *containers: str) -> None:
    spec = {
        "nodeName": "n1",
        "containers": [
            {"name": each, "image": "nginx", "ports": [{"name": "web", "containerPort": 8080}]}
            for each in containers
        ],
    }
    metadata = {"name": name, "namespace": space, "labels": {"app": "web"}}
    cluster.create(PODS, {"metadata": metadata, "spec": spec})
    cluster.set_status(PODS, name, {"phase": "Running"}, space)


@pytest.fixture
def web(cluster: Any, space: str) -> str:
    make_pod(cluster, space, "web-0", "app", "sidecar")
    cluster.kubelet.asked.clear()
    return space


def test_the_default_container_is_said(netemu: Run, web: str) -> None:
    done = netemu("logs", "web-0", "-n", web)
    assert done.out == "".join(f"web-0/app line {i}\n" for i in range(3))
    assert done.err == 'Defaulted container "app" out of: app, sidecar\n'


def test_which_container(netemu: Run, web: str) -> None:
    assert netemu("logs", "web-0", "-c", "sidecar", "-n", web).out.startswith("web-0/sidecar")
    assert netemu("logs", "pod/web-0", "sidecar", "-n", web).out.startswith("web-0/sidecar")
    done = netemu("logs", "web-0", "-c", "nope", "-n", web)
    assert done.code == 1
    assert "container nope is not valid for pod web-0; it has app, sidecar" in done.err


def test_options_reach_the_kubelet(netemu: Run, web: str, cluster: Any) -> None:
    done = netemu(
        "logs",
        "web-0",
        "-c",
        "app",
        "-n",
        web,
        "--tail=2",
        "--previous",
        "--timestamps",
        "--since=1m",
        "--limit-bytes=10000",
    )
    assert done.out.splitlines()[0] == "2026-11-20T08:00:00Z web-0/app line 1"
    (options,) = cluster.kubelet.asked
    assert options.previous and options.timestamps and options.tail_lines == 2
    assert options.limit_bytes == 10000 and options.since_time is not None
    assert netemu("logs", "web-0", "-c", "app", "-n", web, "--since-time=yesterday").code == 2


def test_all_containers_with_prefix(netemu: Run, web: str) -> None:
    out = netemu("logs", "web-0", "--all-containers", "--prefix", "--tail=1", "-n", web).out
    assert out == ("[pod/web-0/app] web-0/app line 2\n[pod/web-0/sidecar] web-0/sidecar line 2\n")


def test_many_pods_side_by_side(netemu: Run, web: str, cluster: Any) -> None:
    make_pod(cluster, web, "web-1", "app")
    done = netemu("logs", "-l", "app=web", "-c", "app", "-f", "-n", web)
    assert sorted(done.out.splitlines()) == [
        f"web-{pod}/app line {i}" for pod in (0, 1) for i in range(3)
    ]
    assert {options.tail_lines for options in cluster.kubelet.asked} == {10}


def test_a_workload_stands_for_its_first_ready_pod(netemu: Run, web: str, cluster: Any) -> None:
    make_pod(cluster, web, "web-1", "app")
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.set_status(PODS, "web-1", ready, web)
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    cluster.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": web}, "spec": spec})
    done = netemu("logs", "deploy/web", "-n", web, "--tail=1")
    assert done.out == "web-1/app line 2\n"
    assert done.err == "Found 2 pods, using pod/web-1\n"


def test_what_cannot_be_read(netemu: Run, web: str) -> None:
    assert netemu("logs", "-n", web).code == 2
    assert 'pods "nope" not found' in netemu("logs", "nope", "-n", web).err
    assert "no pods match app=nobody" in netemu("logs", "-l", "app=nobody", "-n", web).err


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8080:80", Ports(8080, "80")),
        ("80", Ports(80, "80")),
        (":80", Ports(0, "80")),
        ("8080:http", Ports(8080, "http")),
        ("http", Ports(0, "http")),
    ],
)
def test_ports(text: str, ports: Ports) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["", ":", "a:b:c", "70000:80", "80:", "8 0"])
def test_wrong_ports(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_ports(text)


def test_port_forward(web: str, cluster: Any) -> None:
    """A process of its own, as it serves until it is interrupted."""
    words = [sys.executable, "-m", "netemu.cli", "port-forward", "web-0", ":web", "-n", web]
    environment = {**os.environ, "NETEMU_SERVER": str(cluster.socket)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n", line)
        assert found, line
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=60) as connection:
            stream = connection.makefile("rwb")
            assert stream.readline() == b"port 8080\n"
            stream.write(b"hello\n")
            stream.flush()
            assert stream.readline() == b"HELLO\n"
            stream.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_port_forward_needs_a_running_pod(netemu: Run, web: str, cluster: Any) -> None:
    cluster.set_status(PODS, "web-0", {"phase": "Pending"}, web)
    done = netemu("port-forward", "web-0", "80", "-n", web)
    assert done.code == 1 and "Current status=Pending" in done.err
