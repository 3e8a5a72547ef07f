"""How a test of yours may look: `sudo .venv/bin/pytest examples/test_nginx.py`.

netemu brings the fixtures: one cluster for the session, a namespace of its own for each test.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path

from netemu.pytest_plugin import Cluster

HERE = Path(__file__).parent


def test_the_service_answers(netemu_namespace: Cluster) -> None:
    netemu_namespace.apply(HERE / "deployment.yaml")  # returns when packets flow: no sleeps
    netemu_namespace.apply(HERE / "pod.yaml")
    answer = netemu_namespace.exec("nginx-demo", "wget", "-q", "-O", "-", "http://nginx-service")
    assert answer.startswith("pod: nginx-deploy-")


def test_python_runs_inside_a_pod(netemu_namespace: Cluster) -> None:
    netemu_namespace.apply(HERE / "deployment.yaml")
    netemu_namespace.apply(HERE / "pod.yaml")
    address = netemu_namespace.get("service", "nginx-service")["spec"]["clusterIP"]

    def fetch() -> bytes:
        with urllib.request.urlopen(f"http://{address}", timeout=30) as page:
            return bytes(page.read())

    assert b"pod: nginx-deploy-" in netemu_namespace.inside("nginx-demo", fetch)
