"""`netemu up`, `down`, `status`, `clean`, `doctor`: what needs no kernel to be judged."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from netemu.cli import lifecycle
from netemu.cli.main import execute
from netemu.cli.plan import plan_text
from netemu.config import ClusterConfig, HostConfig, NodeConfig

Run = Callable[..., Any]

CLUSTER = "apiVersion: netemu.dev/v1\nkind: Cluster\nmetadata: {name: demo}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for variable in list(os.environ):
        if variable.startswith("NETEMU_"):
            monkeypatch.delenv(variable)

    def call(*words: str) -> tuple[int, str, str]:
        code = execute(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_dry_run_says_what_would_be_made(run: Run, write: Run) -> None:
    path = write("c.yaml", CLUSTER + "nodes: 2\nproxy: {mode: nftables}\n---\n" + POD)
    code, out, _ = run("up", "-f", path, "--dry-run")
    assert code == 0
    assert out.startswith("cluster demo would be made of:\n  2 nodes, 0 outside hosts on")
    assert "ip netns add demo.node-2" in out
    assert "nft -f -    # proxy mode nftables" in out
    assert out.endswith("and 1 objects would be applied\n")


def test_flags_and_environment_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETEMU_NODES", "1")
    monkeypatch.setenv("NETEMU_NAME", "from-the-environment")
    assert "cluster from-the-environment would" in run("up", "--dry-run")[1]
    code, out, _ = run("up", "--dry-run", "--nodes", "4", "--name", "flag")
    assert (code, out.splitlines()[1].split()[:2]) == (0, ["4", "nodes,"])
    assert "cluster flag would" in out


def test_a_dual_stack_cluster_has_two_networks_each(run: Run) -> None:
    pods, services = "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/12,fd00:10:96::/112"
    code, out, _ = run("up", "--dry-run", "--pod-subnet", pods, "--service-subnet", services)
    assert code == 0 and "fd00:10:244::/56" in out
    code, _, err = run("up", "--dry-run", "--pod-subnet", pods)
    assert code == 2 and "must have the families of podSubnet" in err
    code, _, err = run("up", "--dry-run", "--pod-subnet", "10.244.0.0/33")
    assert code == 2 and "--pod-subnet" in err


def test_wrong_settings_are_all_told(run: Run, write: Run) -> None:
    path = write("c.yaml", CLUSTER + "nodes: many\nproxi: {}\n")
    code, out, err = run("up", "-f", path, "--proxy-mode", "nft")
    assert (code, out) == (2, "")
    assert "error: 3 problems:" in err
    assert f'{path}: nodes: must be a whole number, is "many"' in err
    assert f"{path}: proxi: unknown field; did you mean proxy?" in err
    assert '--proxy-mode: "nft" is not one of' in err


def test_one_cluster_has_one_document(run: Run, write: Run) -> None:
    two = write("two.yaml", CLUSTER + "---\n" + CLUSTER)
    code, _, err = run("up", "-f", two, "--dry-run")
    assert code == 2 and "two Cluster documents" in err
    one, none = write("one.yaml", CLUSTER), write("none.yaml", POD)
    assert run("up", "--config", one, "--dry-run")[0] == 0
    code, _, err = run("up", "--config", none, "--dry-run")
    assert code == 2 and "has no document of kind Cluster" in err
    assert run("up", "-f", two, "--config", one, "--dry-run")[0] == 2


def test_bad_manifests_are_told_before_anything_is_made(run: Run, write: Run) -> None:
    path = write("x.yaml", CLUSTER + "---\n- a\n")
    code, _, err = run("up", "-f", path)
    assert code == 1
    assert f"{path}: document 2 (line 5): is a list" in err


@pytest.mark.parametrize("words", [["up"], ["down"], ["clean"]])
def test_root_is_asked_for(run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle.os, "geteuid", lambda: 1000)
    code, _, err = run(*words)
    assert code == 3
    assert "needs root\ntry: run it with sudo\n" in err


def test_what_does_not_exist(run: Run) -> None:
    code, _, err = run("status", "--name", "no-such-cluster")
    assert code == 1 and "no-such-cluster" in err
    code, _, err = run("down", "--name", "x", "--all")
    assert code == 2


def test_the_plan_of_hosts_and_addresses() -> None:
    config = ClusterConfig(
        name="c",
        nodes=(NodeConfig(name="n1"), NodeConfig(name="n2", proxy_mode="ipvs")),
        node_subnet="172.30.9.0/24",
        hosts=(HostConfig(name="client", address="172.30.9.100"),),
    )
    text = plan_text(config, 0)
    assert "ip -n c.n1 address add 172.30.9.2/24 dev eth0" in text
    assert "ip -n c.n2 address add 172.30.9.3/24 dev eth0" in text
    assert "ip -n c.client address add 172.30.9.100/24 dev eth0" in text
    assert "ip -n c.n1 address add 10.244.0.1/24 dev cni0" in text
    assert "ip -n c.n2 route add 10.244.0.0/24 via 10.244.0.0 dev flannel.1 onlink" in text
    assert "iptables-restore --noflush    # proxy mode ipvs" in text


def test_removal_is_counted_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    removed = {"process": 2, "netns": 1, "dir": 3, "link": 0}
    assert lifecycle._print_removal("c", removed, ()) == 0
    assert capsys.readouterr().out == (
        "cluster c: removed 2 processes, 1 network namespace, 3 directories; 0 left\n"
    )
    assert lifecycle._print_removal("c", {}, ("netns /run/netns/c.x",)) == 1
    captured = capsys.readouterr()
    assert "1 left" in captured.out and "left: netns /run/netns/c.x" in captured.err


def test_doctor_ends_with_3_when_no_cluster_can_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netemu.node import capabilities
    from netemu.node.capabilities import Capability

    present = Capability(name="veth", present=True, needed_by="everything")
    optional = Capability(name="ipvs", present=False, needed_by="ipvs", hint="modprobe ip_vs")
    missing = Capability(name="vxlan", present=False, needed_by="pods", hint="modprobe vxlan")
    monkeypatch.setattr(capabilities, "probe", lambda: [present, optional])
    code, out, _ = run("doctor")
    assert code == 0 and "a cluster can run here; without ipvs" in out
    assert "ipvs: try: modprobe ip_vs" in out
    monkeypatch.setattr(capabilities, "probe", lambda: [present, missing])
    code, out, _ = run("doctor")
    assert code == 3 and "no cluster can run here: vxlan missing" in out
    assert '"ready": false' in run("doctor", "-o", "json")[1]
