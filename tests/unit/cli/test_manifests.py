"""Manifests from files, directories and standard input; what is wrong with them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netemu.cli.failures import CommandFailed
from netemu.cli.manifests import BadManifests, read

Write = Callable[..., str]

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def problems(*sources: str) -> list[str]:
    with pytest.raises(BadManifests) as caught:
        read(sources)
    return str(caught.value).splitlines()


def test_documents_in_order_with_their_places(write: Write) -> None:
    path = write("two.yaml", POD + "---\n" + POD.replace("a}", "b}"))
    found = read([path])
    assert [m.name for m in found] == ["a", "b"]
    assert [m.source for m in found] == [
        f"{path}: document 1 (line 1)",
        f"{path}: document 2 (line 5)",
    ]


def test_directories_are_sorted_and_not_deep(write: Write, tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "c.txt"):
        write(name, POD if name != "a.json" else '{"apiVersion": "v1", "kind": "Pod"}')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.yml").write_text(POD)
    assert [Path(m.source).name for m in read([str(tmp_path)])] == ["a.json", "b.yaml"]
    deep = [Path(m.source).name for m in read([str(tmp_path)], recursive=True)]
    assert deep == ["a.json", "b.yaml", "d.yml"]


def test_a_directory_without_manifests(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="recognized file extensions"):
        read([str(tmp_path)])


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(CommandFailed, match='the path "/nope" does not exist'):
        read(["/nope"])


def test_addresses_are_not_fetched() -> None:
    with pytest.raises(CommandFailed) as caught:
        read(["https://example.com/x.yaml"])
    assert "curl" in caught.value.hint


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert read(["-"])[0].source == "standard input"


def test_lists_of_any_kind_are_flattened(write: Write) -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "ServiceList", "items": [{"metadata": {"name": "b"}}]},
        ],
    }
    path = write("list.json", listed)
    found = read([path])
    assert [(m.kind, m.name) for m in found] == [("Pod", "a"), ("Service", "b")]
    assert found[1].source == f"{path}: item 2: item 1"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("- a\n- b\n", "is a list, not an object with apiVersion and kind"),
        ("just text", "is text, not an object with apiVersion and kind"),
        ("kind: Pod\n", "apiVersion not set"),
        ("apiVersion: v1\n", "kind not set"),
        ("apiVersion: 1\nkind: Pod\n", "apiVersion: must be text, is a number"),
        ("apiVersion: v1\nkind: Pod\nmetadata: x\n", "metadata: must be a map, is text"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 123}\n",
            'metadata.name: must be text, is a number (write it as "123")',
        ),
    ],
)
def test_no_objects(write: Write, content: str, problem: str) -> None:
    path = write("x.yaml", content)
    assert problems(path) == [f"{path}: {problem}"]


def test_all_problems_of_all_files_at_once(write: Write) -> None:
    first = write("a.yaml", POD + "---\n- x\n---\nkind: Pod\n")
    second = write("b.yaml", b"a: \xff\n")
    found = problems(first, second)
    assert len(found) == 3
    assert found[0].startswith(f"{first}: document 2 (line 5): is a list")
    assert found[1].startswith(f"{first}: document 3 (line 7): apiVersion not set")
    assert found[2].startswith(f"{second}: line 1: is not UTF-8")


def test_a_huge_file_is_refused_unread(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    assert problems(str(path)) == [f"{path}: is 50.0 MB; at most 33.6 MB are read"]


def test_cluster_documents_are_known(write: Write) -> None:
    path = write("c.yaml", "apiVersion: netemu.dev/v1\nkind: Cluster\n---\n" + POD)
    assert [m.is_cluster for m in read([path])] == [True, False]


def test_json_is_read_as_json(write: Write) -> None:
    path = write("a.yaml", json.dumps({"apiVersion": "v1", "kind": "Pod", "x": "\t"}))
    assert read([path])[0].object["x"] == "\t"
