import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netemu.api import managedfields
from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS
from netemu.api.managedfields import sets
from netemu.api.managedfields.compare import added, compare
from netemu.api.schema import of_kind

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def test_a_deployment_as_a_real_server_books_it() -> None:
    """Taken from the documentation of `kubectl create deployment`, minus what it leaves out."""
    new: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "nginx", "labels": {"app": "nginx"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "nginx"}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "template": {
                "metadata": {"labels": {"app": "nginx"}},
                "spec": {
                    "containers": [{"name": "nginx", "image": "nginx", "resources": {}}],
                    "securityContext": {},
                },
            },
        },
    }
    managedfields.update(DEPLOYMENTS, None, new, manager="kubectl-create", now=NOW)
    (entry,) = new["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                "f:type": {},
            },
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"nginx"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:resources": {},
                        }
                    },
                    "f:securityContext": {},
                },
            },
        },
    }


def test_node_status_as_a_kubelet_writes_it() -> None:
    new: dict[str, Any] = {
        "metadata": {"name": "n"},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"architecture": "amd64"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    managedfields.update(NODES, None, new, manager="kubelet", now=NOW)
    assert new["metadata"]["managedFields"][0]["fieldsV1"]["f:status"] == {
        "f:daemonEndpoints": {"f:kubeletEndpoint": {"f:Port": {}}},
        "f:nodeInfo": {"f:architecture": {}},
        "f:conditions": {
            ".": {},
            'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}},
        },
    }


def _config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def _changed(live: dict[str, Any], **data: str) -> dict[str, Any]:
    new = copy.deepcopy(live)
    new["data"] = data
    return new


def test_removed_fields_have_no_owner() -> None:
    live = _config(a="1", b="2")
    managedfields.update(CONFIG_MAPS, None, live, manager="m", now=NOW)
    new = _changed(live, a="1")
    managedfields.update(CONFIG_MAPS, live, new, manager="n", now=LATER)
    (entry,) = new["metadata"]["managedFields"]
    assert (entry["manager"], entry["time"]) == ("m", NOW)
    assert entry["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}


def test_an_update_without_change_keeps_the_books() -> None:
    live = _config(a="1")
    managedfields.update(CONFIG_MAPS, None, live, manager="m", now=NOW)
    new = copy.deepcopy(live)
    managedfields.update(CONFIG_MAPS, live, new, manager="n", now=LATER)
    assert new == live


def test_books_left_out_of_the_request_are_kept() -> None:
    live = _config(a="1")
    managedfields.update(CONFIG_MAPS, None, live, manager="m", now=NOW)
    new = _config(a="1")
    managedfields.update(CONFIG_MAPS, live, new, manager="n", now=LATER)
    assert new["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_clearing_the_books() -> None:
    live = _config(a="1")
    managedfields.update(CONFIG_MAPS, None, live, manager="m", now=NOW)
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]
    managedfields.update(CONFIG_MAPS, live, new, manager="m", now=LATER)
    assert "managedFields" not in new["metadata"]


def test_many_updaters_become_ancient() -> None:
    live = _config()
    for number in range(14):
        new = _changed(live, **live["data"], **{f"k{number:02}": "x"})
        now = f"2026-01-01T00:00:{number:02}Z"
        managedfields.update(CONFIG_MAPS, live, new, manager=f"m{number:02}", now=now)
        live = new
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert managers[0] == "ancient-changes"
    owned = live["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
    assert {"f:k00", "f:k04"} <= set(owned)


def test_carry() -> None:
    live, new = _config(a="1"), _config(a="2")
    managedfields.update(CONFIG_MAPS, None, live, manager="m", now=NOW)
    managedfields.carry(live, new)
    assert new["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_subresources_are_owners_of_their_own() -> None:
    live: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}}
    managedfields.update(PODS, None, live, manager="m", now=NOW)
    new = {**live, "status": {"phase": "Running"}}
    managedfields.update(PODS, live, new, manager="m", now=NOW, subresource="status")
    found = [entry.get("subresource") for entry in new["metadata"]["managedFields"]]
    assert found == [None, "status"]


_keys = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}'])
_sets: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.just({}),
    lambda inner: st.builds(
        lambda children, member: {**({".": {}} if member and children else {}), **children},
        st.dictionaries(_keys, inner, max_size=2),
        st.booleans(),
    ),
    max_leaves=8,
)
_roots = st.dictionaries(_keys, _sets, max_size=3)


def _paths(fields: dict[str, Any]) -> set[str]:
    return set(sets.paths(fields))


@given(_roots, _roots)
def test_set_algebra(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert _paths(sets.union(left, right)) == _paths(left) | _paths(right)
    assert _paths(sets.difference(left, right)) == _paths(left) - _paths(right)
    assert _paths(sets.intersection(left, right)) == _paths(left) & _paths(right)


_data = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@given(_data, _data)
def test_a_comparison_tells_every_difference(old: dict[str, str], new: dict[str, str]) -> None:
    changed, removed = compare({"data": old}, {"data": new}, of_kind(CONFIG_MAPS))
    told = {path for path in _paths(changed) if path != ".data"}
    assert told == {f".data.{key}" for key in new if old.get(key) != new[key]}
    gone = {path for path in _paths(removed) if path != ".data"}
    assert gone == {f".data.{key}" for key in old if key not in new}


def test_added_counts_containers() -> None:
    node = of_kind(PODS).fields["spec"].fields["containers"]
    assert added([], node) == {}
    assert added([{"name": "a"}], node) == {
        ".": {},
        'k:{"name":"a"}': {".": {}, "f:name": {}},
    }
