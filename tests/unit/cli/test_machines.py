"""Machines and pods' namespaces by name, and the small types of the command line."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from netemu.cli import machines, session
from netemu.cli.durations import DURATION, WEEK
from netemu.cli.failures import ClusterNotRunning, CommandFailed
from netemu.cli.session import Session, running_clusters
from netemu.cli.sorting import sort_key

FABRIC = {
    "nodeSubnet": "172.30.4.0/24",
    "machines": {
        "node-1": {"role": "node", "addresses": ["172.30.4.2"], "port": 10},
        "client": {"role": "host", "addresses": ["172.30.4.3"], "port": 11},
    },
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/run/netemu with the cluster `demo`."""
    monkeypatch.setattr(machines, "RUN_ROOT", str(tmp_path))
    monkeypatch.setattr(session, "RUN_ROOT", str(tmp_path))
    monkeypatch.delenv("NETEMU_NAME", raising=False)
    monkeypatch.delenv("NETEMU_SERVER", raising=False)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "fabric.json").write_text(json.dumps(FABRIC))
    (tmp_path / "demo" / "api.sock").touch()
    return tmp_path


def test_machines_by_role_and_name(root: Path) -> None:
    assert machines.find("demo", "nodes", "node-1").netns == "/run/netns/demo.node-1"
    assert machines.find("demo", "host", "client").label == "host/client"
    with pytest.raises(CommandFailed, match='no host "clint" .* did you mean "client"'):
        machines.find("demo", "host", "clint")
    with pytest.raises(CommandFailed, match=r"no host \"node-1\""):
        machines.find("demo", "host", "node-1")
    with pytest.raises(ClusterNotRunning):
        machines.machines("other")


def test_long_names_are_cut_as_the_node_cuts_them(root: Path) -> None:
    from netemu.node import sandboxes

    name = "p" * 240
    path = machines.pod_netns("demo", "node-1", "default", name)
    last = Path(path).name
    assert len(last) == sandboxes._NAME_LENGTH
    assert path.startswith(str(root / "demo/nodes/node-1/netns"))


def test_which_cluster_is_meant(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert running_clusters() == ["demo"]
    assert Session().cluster == "demo", "the only one that runs"
    (root / "second").mkdir()
    (root / "second" / "api.sock").touch()
    with pytest.raises(CommandFailed, match="several clusters run") as caught:
        _ = Session().cluster
    assert caught.value.exit_code == 2
    monkeypatch.setenv("NETEMU_NAME", "second")
    assert Session().cluster == "second"
    (root / "netemu").mkdir()
    (root / "netemu" / "api.sock").touch()
    monkeypatch.delenv("NETEMU_NAME")
    assert Session().cluster == "netemu", "the default one"


def test_the_socket_is_where_the_settings_say() -> None:
    from netemu.config import ClusterConfig

    chosen = Session()
    chosen.cluster_flag = "x"
    assert chosen.socket == str(ClusterConfig(name="x").api_socket)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("5", 5), ("-1", WEEK)]
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "1x", "s", "1m 2s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


def test_natural_order() -> None:
    names: list[Any] = ["web-10", "web-2", "web-1", None]
    objects = [{"metadata": {"name": name}} for name in names]
    ordered = sorted(objects, key=lambda obj: sort_key("{.metadata.name}", obj))
    assert [obj["metadata"]["name"] for obj in ordered] == [None, "web-1", "web-2", "web-10"]
