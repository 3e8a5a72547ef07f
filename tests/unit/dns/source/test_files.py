from __future__ import annotations

import json

import pytest

from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source.files import FileSource
from netemu.errors import ManifestError

PLAIN = Wanted()


def filled(path, wanted=PLAIN) -> Store:
    store = Store()
    FileSource([path]).fill(wanted, store)
    return store


def test_yaml_json_lists_and_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(
        "kind: Service\nmetadata: {name: one}\nspec: {clusterIP: 10.0.0.1}\n---\n"
        "---\nkind: ConfigMap\nmetadata: {name: ignored}\n"
    )
    two = {"metadata": {"name": "two", "namespace": "b"}, "spec": {"clusterIP": "10.0.0.2"}}
    (tmp_path / "sub/b.json").write_text(json.dumps({"kind": "ServiceList", "items": [two]}))
    (tmp_path / "readme.txt").write_text("not an object")
    store = filled(tmp_path)
    assert set(store.services) == {"default/one", "b/two"}
    assert store.namespaces == {"default", "b"}
    assert store.synced


def test_labels_choose(tmp_path):
    documents = [
        {"kind": "Namespace", "metadata": {"name": "in", "labels": {"dns": "yes"}}},
        {"kind": "Namespace", "metadata": {"name": "out"}},
        *(
            {
                "kind": "Service",
                "metadata": {"name": name, "namespace": "in", "labels": {"tier": tier}},
                "spec": {"clusterIP": "10.0.0.1"},
            }
            for name, tier in (("a", "web"), ("b", "db"), ("c", "test"))
        ),
    ]
    path = tmp_path / "o.json"
    path.write_text(json.dumps({"kind": "List", "items": documents}))
    store = filled(path, Wanted(labels="tier in (web, db)", namespace_labels="dns=yes"))
    assert set(store.services) == {"in/a", "in/b"}
    assert store.namespaces == {"in"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.yaml", b"a: [", "is not YAML"),
        ("x.yaml", b"- 1\n", "document 1: is not an object"),
        ("x.json", b"{", "is not JSON"),
        ("x.yaml", b"\xff\xfe", "codec can't decode"),
    ],
)
def test_bad_files_name_themselves(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        FileSource([path]).fill(PLAIN, Store())
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
