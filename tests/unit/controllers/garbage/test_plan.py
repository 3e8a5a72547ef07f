"""What the collector does with one object, by table."""

from __future__ import annotations

import pytest

from netemu.api import kinds
from netemu.controllers.garbage.graph import Graph, Node
from netemu.controllers.garbage.plan import Verdict, judge


def node(uid="x", owners=(), *, deleting=False, finalizers=(), blocks=True):
    references = tuple(
        {"uid": owner, "kind": "ConfigMap", "apiVersion": "v1", "blockOwnerDeletion": blocks}
        for owner in owners
    )
    return Node(
        resource=kinds.CONFIG_MAPS,
        namespace="default",
        name=uid,
        uid=uid,
        owners=references,
        deleting=deleting,
        finalizers=frozenset(finalizers),
    )


FOREGROUND = {"deleting": True, "finalizers": ["foregroundDeletion"]}


@pytest.mark.parametrize(
    ("subject", "dependents", "states", "expected"),
    [
        (node(), [], {}, Verdict()),
        (node(owners=["a"]), [], {"a": "solid"}, Verdict()),
        (node(owners=["a"]), [], {"a": "absent"}, Verdict(delete="Background")),
        (
            node(owners=["a", "b"]),
            [],
            {"a": "absent", "b": "solid"},
            Verdict(drop_owners=frozenset("a")),
        ),
        (node(owners=["a", "b"]), [], dict.fromkeys("ab", "absent"), Verdict(delete="Background")),
        (
            node(owners=["a"]),
            [node("child", ["x"])],
            {"a": "waiting"},
            Verdict(delete="Foreground"),
        ),
        (node(owners=["a"]), [], {"a": "waiting"}, Verdict(delete="Background")),
        (node(owners=["a"], deleting=True), [], {"a": "absent"}, Verdict()),
        (node(**FOREGROUND), [], {}, Verdict(drop_finalizer="foregroundDeletion")),
        (node(**FOREGROUND), [node("child", ["x"])], {}, Verdict(press=("child",))),
        (node(**FOREGROUND), [node("child", ["x"], deleting=True)], {}, Verdict()),
        (
            node(**FOREGROUND),
            [node("child", ["x"], blocks=False)],
            {},
            Verdict(drop_finalizer="foregroundDeletion"),
        ),
        (
            node(deleting=True, finalizers=["orphan"]),
            [node("child", ["x"])],
            {},
            Verdict(release=("child",), drop_finalizer="orphan"),
        ),
        (
            node(deleting=True, finalizers=["example.com/other"]),
            [node("child", ["x"])],
            {},
            Verdict(),
        ),
    ],
)
def test_judge(subject, dependents, states, expected):
    found = judge(subject, dependents, lambda owner: states[owner["uid"]], bool(dependents))
    assert found == expected


def test_the_graph_forgets_what_it_is_told_to():
    graph = Graph()
    graph.put(node("owner"))
    graph.put(node("child", ["owner", "other"]))
    assert [found.uid for found in graph.dependents("owner")] == ["child"]
    graph.put(node("child", ["other"]))
    assert not graph.has_dependents("owner")
    graph.remove("child")
    assert graph.get("child") is None
    assert not graph.has_dependents("other")
