"""Another server in the resolver's place: an entry of the image table, and the same cases.

`COREDNS=/path` gives a real CoreDNS. Without one a stand-in of the tests' own has just what CoreDNS
has in a pod: the mounted Corefile, the service account's token and the API behind its Service.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dns_cases import CASES, ask_from

COREDNS = os.environ.get("COREDNS", "")

STANDIN = """\
import json, os, ssl, sys, tempfile, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
trust = ssl.create_default_context(cafile=f"{account}/ca.crt")
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
bearer = {"Authorization": "Bearer " + open(f"{account}/token").read()}
folder = tempfile.mkdtemp()
for kind in ("api/v1/services", "api/v1/namespaces",
             "apis/discovery.k8s.io/v1/endpointslices"):
    request = urllib.request.Request(f"https://{host}:{port}/{kind}", headers=bearer)
    found = json.load(urllib.request.urlopen(request, context=trust, timeout=60))
    for item in found["items"]:
        item |= {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    json.dump(found | {"kind": "List", "apiVersion": "v1"},
              open(f"{folder}/{kind.rpartition('/')[2]}.json", "w"))
assert sys.argv[1] == "-conf"
os.execv(sys.executable, [sys.executable, "-m", "netemu.dns", "--objects", folder,
                          "--corefile", sys.argv[2]])
"""

CLUSTER = """\
apiVersion: netemu.dev/v1
kind: Cluster
nodes: 1
dns: {replicas: 1}
images:
- pattern: "registry.k8s.io/coredns/coredns"
  command: %s
  args: ["-conf", /etc/coredns/Corefile]
"""


@pytest.fixture(scope="module")
def other(make_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    command = [COREDNS]
    where = tmp_path_factory.mktemp("other")
    if not COREDNS:
        command = [sys.executable, "-c", STANDIN]
    (where / "cluster.yaml").write_text(CLUSTER % json.dumps(command))
    cluster = make_cluster("other", "--config", str(where / "cluster.yaml"))
    world = "---\n".join(
        document
        for document in (CASES / "world.yaml").read_text().split("---\n")
        if "fd00:10:96" not in document  # dual-stack needs a dual-stack cluster
    )
    cluster.run("apply", "-f", "-", stdin=world)
    cluster.run("run", "asker", "--image=busybox", "--", "sleep", "infinity")
    cluster.run("wait", "pod/asker", "--for=condition=Ready")
    if not COREDNS:  # it reads the objects once
        cluster.run("rollout", "restart", "deployment/coredns", "-n", "kube-system")
        cluster.run("rollout", "status", "deployment/coredns", "-n", "kube-system")
    return cluster


def test_the_same_cases_are_asked_of_it(other: Any, tmp_path: Path) -> None:
    needs_more = re.compile(r"dual|six|fd00|ip6\.arpa|outside|example\.test|arpa\. \w+\nNXDOMAIN")
    files = ("clusterip", "headless", "ptr", "pods-insecure")
    asked = ask_from("other.default.asker", files, lambda row: not needs_more.search(row), tmp_path)
    assert asked > 200


def test_it_is_not_ours(other: Any) -> None:
    pods = other.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    pods = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]  # lame ducks
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]
    listed = subprocess.run(
        ["ip", "netns", "pids", f"other.kube-system.{pods[0]['metadata']['name']}"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    lines = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in listed]
    if COREDNS:
        assert [line[0] for line in lines] == [COREDNS]
    else:
        assert all("--api" not in line for line in lines)
        assert any("/etc/coredns/Corefile" in line for line in lines)
