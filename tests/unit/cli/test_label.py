"""`netemu label`, `annotate`, `patch` and `taint`."""

from collections.abc import Callable
from typing import Any

import click
import pytest

from netemu.api.kinds import CONFIG_MAPS, NODES
from netemu.cli.failures import CommandFailed
from netemu.cli.label import split_changes
from netemu.cli.taint import changed, parse_taints

Run = Callable[..., Any]


@pytest.fixture
def cm(cluster: Any, space: str) -> str:
    cluster.create(CONFIG_MAPS, {"metadata": {"name": "x", "namespace": space}, "data": {"a": "1"}})
    return space


def test_label(netemu: Run, cluster: Any, cm: str) -> None:
    where = ("-n", cm)
    assert netemu("label", "cm", "x", "a=1", "b=2", *where).out == "configmap/x labeled\n"
    assert netemu("label", "cm/x", "a=1", *where).out == "configmap/x not labeled\n"
    done = netemu("label", "cm/x", "a=2", *where)
    assert done.code == 1
    assert "error: 'a' already has a value (1), and --overwrite is false" in done.err
    assert netemu("label", "cm/x", "a=2", "--overwrite", *where).code == 0
    assert netemu("label", "cm/x", "a-", *where).out == "configmap/x unlabeled\n"
    assert cluster.get(CONFIG_MAPS, "x", cm)["metadata"]["labels"] == {"b": "2"}
    assert netemu("label", "cm/x", "--list", *where).out == "b=2\n"
    done = netemu("label", "cm", "-l", "b=2", "c=3", *where)
    assert done.out == "configmap/x labeled\n"


def test_annotate(netemu: Run, cluster: Any, cm: str) -> None:
    done = netemu("annotate", "cm/x", "note=hello world", "-n", cm)
    assert done.out == "configmap/x annotated\n"
    assert cluster.get(CONFIG_MAPS, "x", cm)["metadata"]["annotations"] == {"note": "hello world"}


def test_changes_come_last() -> None:
    assert split_changes(["pod", "x", "a=1", "b-"]) == (["pod", "x"], {"a": "1", "b": None})
    with pytest.raises(click.UsageError):
        split_changes(["pod", "a=1", "x"])


@pytest.mark.parametrize(
    ("kind", "text", "data"),
    [
        ("merge", '{"data": {"b": "2"}}', {"a": "1", "b": "2"}),
        ("strategic", "data: {b: '2'}", {"a": "1", "b": "2"}),
        ("json", '[{"op": "replace", "path": "/data/a", "value": "9"}]', {"a": "9"}),
    ],
)
def test_patch(netemu: Run, cluster: Any, cm: str, kind: str, text: str, data: Any) -> None:
    done = netemu("patch", "cm", "x", "--type", kind, "-p", text, "-n", cm)
    assert (done.code, done.out) == (0, "configmap/x patched\n"), done.err
    assert cluster.get(CONFIG_MAPS, "x", cm)["data"] == data


def test_patch_without_change_and_without_sense(netemu: Run, cm: str) -> None:
    done = netemu("patch", "cm", "x", "-p", '{"data": {"a": "1"}}', "-n", cm)
    assert done.out == "configmap/x patched (no change)\n"
    assert netemu("patch", "cm", "x", "-n", cm).code == 2
    assert netemu("patch", "cm", "x", "-p", "{", "-n", cm).code == 1


@pytest.mark.parametrize(
    ("word", "added", "removed"),
    [
        ("a=b:NoSchedule", [{"key": "a", "value": "b", "effect": "NoSchedule"}], []),
        ("a:NoExecute", [{"key": "a", "effect": "NoExecute"}], []),
        ("a:NoExecute-", [], [{"key": "a", "effect": "NoExecute"}]),
        ("example.com/a-", [], [{"key": "example.com/a"}]),
    ],
)
def test_taints_are_read(word: str, added: Any, removed: Any) -> None:
    assert parse_taints([word]) == (added, removed)


@pytest.mark.parametrize("word", ["a=b", "a:Nope", "a=b:c:d"])
def test_wrong_taints(word: str) -> None:
    with pytest.raises(click.UsageError):
        parse_taints([word])


def test_taints_are_changed() -> None:
    before = [{"key": "a", "value": "1", "effect": "NoSchedule"}]
    new = [{"key": "a", "value": "2", "effect": "NoSchedule"}]
    with pytest.raises(CommandFailed, match="already has a taint"):
        changed(before, new, [], False, "n1")
    assert changed(before, new, [], True, "n1") == new
    assert changed(before, [], [{"key": "a"}], False, "n1") == []
    with pytest.raises(CommandFailed, match='taint "b" not found'):
        changed(before, [], [{"key": "b"}], False, "n1")


def test_taint_and_cordon(netemu: Run, cluster: Any) -> None:
    cluster.create(NODES, {"metadata": {"name": "tainted-node"}})
    done = netemu("taint", "node", "tainted-node", "k=v:NoSchedule")
    assert done.out == "node/tainted-node tainted\n"
    assert cluster.get(NODES, "tainted-node", "")["spec"]["taints"] == [
        {"key": "k", "value": "v", "effect": "NoSchedule"}
    ]
    assert netemu("taint", "nodes", "tainted-node", "k-").out == "node/tainted-node untainted\n"
    assert netemu("cordon", "tainted-node").out == "node/tainted-node cordoned\n"
    assert netemu("cordon", "node/tainted-node").out == "node/tainted-node already cordoned\n"
    assert cluster.get(NODES, "tainted-node", "")["spec"]["unschedulable"] is True
    assert netemu("uncordon", "tainted-node").out == "node/tainted-node uncordoned\n"
