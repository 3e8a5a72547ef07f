"""The examples with kubectl: what was applied once is not changed by applying it again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubectls import ENDS, KUBECTLS

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not KUBECTLS, reason="no kubectl: apt install kubernetes-client"),
]
EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = sorted(path.stem for path in EXAMPLES.glob("*.yaml") if path.stem != "cluster")


@pytest.fixture(scope="module")
def config(make_cluster: Callable[..., Any]) -> str:
    cluster = make_cluster("twice", "-f", "examples/cluster.yaml")
    return str(cluster.run("kubeconfig", "--path").strip())


@pytest.fixture(params=ENDS)
def kubectl(request: pytest.FixtureRequest, config: str) -> Callable[..., str]:
    path = KUBECTLS[request.param]

    def run(*arguments: str) -> str:
        words = [path, "--kubeconfig", config, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def objects(kubectl: Callable[..., str], file: str) -> list[Any]:
    """A manifest's objects as they are stored now."""
    found = json.loads(kubectl("get", "-f", file, "-o", "json"))
    return list(found.get("items") or [found])


def settle(kubectl: Callable[..., str], file: str) -> None:
    """Wait until controllers and kubelets have nothing more to say of what the file makes."""
    for each in objects(kubectl, file):
        name, space = each["metadata"]["name"], each["metadata"].get("namespace", "")
        if each["kind"] == "Pod":
            ready = ("wait", f"pod/{name}", "--for=condition=Ready")
            kubectl(*ready, "-n", space, "--timeout=60s")
        elif each["kind"] in ("Deployment", "StatefulSet"):
            kubectl("rollout", "status", f"{each['kind']}/{name}", "-n", space, "--timeout=60s")


def revisions(kubectl: Callable[..., str], file: str) -> dict[str, str]:
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for each in objects(kubectl, file)
    }


@pytest.mark.parametrize("name", FILES)
def test_a_second_apply_changes_nothing(kubectl: Callable[..., str], name: str) -> None:
    file = str(EXAMPLES / f"{name}.yaml")
    first = kubectl("apply", "-f", file).splitlines()
    assert first and all(line.endswith((" created", " unchanged")) for line in first)
    again = kubectl("apply", "-f", file).splitlines()
    assert [line.rpartition(" ")[0] for line in again] == [
        line.rpartition(" ")[0] for line in first
    ]
    assert all(line.endswith(" unchanged") for line in again), again
    assert kubectl("diff", "-f", file) == ""


@pytest.mark.parametrize("name", FILES)
def test_server_side_apply_twice(kubectl: Callable[..., str], name: str) -> None:
    file = str(EXAMPLES / f"{name}.yaml")
    kubectl("apply", "-f", file)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
    settle(kubectl, file)
    before = revisions(kubectl, file)
    kubectl("apply", "--server-side", "-f", file)
    assert revisions(kubectl, file) == before
    assert kubectl("diff", "-f", file) == ""
    assert kubectl("diff", "--server-side", "-f", file) == ""
    assert all(line.endswith(" unchanged") for line in kubectl("apply", "-f", file).splitlines())
