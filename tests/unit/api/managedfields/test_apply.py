import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import managedfields
from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES
from netemu.errors import ApiError

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "p"}
    spec = {"containers": list(containers)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def entries(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    books = obj["metadata"].get("managedFields") or []
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in books}


def test_apply_creates_and_owns_leaves() -> None:
    made = managedfields.apply(CONFIG_MAPS, None, config_map(a="1"), manager="m", now=NOW)
    assert made["data"] == {"a": "1"}
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]


def test_what_is_no_longer_applied_goes() -> None:
    first = managedfields.apply(CONFIG_MAPS, None, config_map(a="1", b="2"), manager="m", now=NOW)
    before = copy.deepcopy(first)
    second = managedfields.apply(CONFIG_MAPS, first, config_map(a="1"), manager="m", now=LATER)
    assert second["data"] == {"a": "1"}
    assert first == before


def test_what_somebody_else_owns_stays() -> None:
    first = managedfields.apply(CONFIG_MAPS, None, config_map(a="1", b="2"), manager="m", now=NOW)
    shared = managedfields.apply(CONFIG_MAPS, first, config_map(b="2"), manager="n", now=NOW)
    third = managedfields.apply(CONFIG_MAPS, shared, config_map(a="1"), manager="m", now=LATER)
    assert third["data"] == {"a": "1", "b": "2"}
    assert entries(third)[("n", "Apply")] == {"f:data": {"f:b": {}}}


def test_conflict_names_manager_and_field() -> None:
    first = managedfields.apply(CONFIG_MAPS, None, config_map(a="1"), manager="m", now=NOW)
    with pytest.raises(ApiError) as caught:
        managedfields.apply(CONFIG_MAPS, first, config_map(a="2"), manager="n", now=LATER)
    assert caught.value.code == 409
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "m": .data.a'
    assert caught.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "m"', "field": ".data.a"}
    ]


def test_force_takes_the_field() -> None:
    first = managedfields.apply(CONFIG_MAPS, None, config_map(a="1"), manager="m", now=NOW)
    taken = managedfields.apply(
        CONFIG_MAPS, first, config_map(a="2"), manager="n", now=LATER, force=True
    )
    assert taken["data"] == {"a": "2"}
    assert set(entries(taken)) == {("n", "Apply")}


def test_an_update_conflicts_later() -> None:
    live = managedfields.apply(CONFIG_MAPS, None, config_map(a="1"), manager="m", now=NOW)
    changed = copy.deepcopy(live)
    changed["data"]["a"] = "2"
    managedfields.update(CONFIG_MAPS, live, changed, manager="editor", now=NOW)
    assert set(entries(changed)) == {("editor", "Update")}
    with pytest.raises(ApiError) as caught:
        managedfields.apply(CONFIG_MAPS, changed, config_map(a="1"), manager="m", now=LATER)
    assert caught.value.message == (
        f'Apply failed with 1 conflict: conflict with "editor" using v1 at {NOW}: .data.a'
    )


def test_several_conflicts() -> None:
    live = managedfields.apply(CONFIG_MAPS, None, config_map(a="1", b="1"), manager="m", now=NOW)
    with pytest.raises(ApiError) as caught:
        managedfields.apply(CONFIG_MAPS, live, config_map(a="2", b="2"), manager="n", now=NOW)
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "m":\n- .data.a\n- .data.b'
    )


def test_applying_the_same_again_changes_nothing() -> None:
    first = managedfields.apply(PODS, None, pod({"name": "a", "image": "1"}), manager="m", now=NOW)
    again = managedfields.apply(
        PODS, first, pod({"name": "a", "image": "1"}), manager="m", now=LATER
    )
    assert again == first


def test_list_elements_merge_by_key() -> None:
    live = managedfields.apply(PODS, None, pod({"name": "a", "image": "1"}), manager="m", now=NOW)
    both = managedfields.apply(PODS, live, pod({"name": "b", "image": "2"}), manager="n", now=NOW)
    assert [item["name"] for item in both["spec"]["containers"]] == ["a", "b"]
    fields = entries(both)[("n", "Apply")]
    assert fields == {
        "f:spec": {"f:containers": {'k:{"name":"b"}': {".": {}, "f:image": {}, "f:name": {}}}}
    }
    gone = managedfields.apply(PODS, both, pod({"name": "c", "image": "3"}), manager="n", now=NOW)
    assert [item["name"] for item in gone["spec"]["containers"]] == ["a", "c"]


def test_conflict_path_of_a_list_element() -> None:
    live = managedfields.apply(PODS, None, pod({"name": "a", "image": "1"}), manager="m", now=NOW)
    with pytest.raises(ApiError) as caught:
        managedfields.apply(PODS, live, pod({"name": "a", "image": "2"}), manager="n", now=NOW)
    assert caught.value.message.endswith('"m": .spec.containers[name="a"].image')


def test_keys_with_a_default() -> None:
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}]},
    }
    made = managedfields.apply(SERVICES, None, service, manager="m", now=NOW)
    ports = entries(made)[("m", "Apply")]["f:spec"]["f:ports"]
    assert ports == {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}


def test_empty_values_say_nothing() -> None:
    """As a real API server answers: an empty map or list is no field that one could own."""
    config = config_map(a="1")
    config["metadata"] |= {"labels": {}, "finalizers": [], "annotations": None}
    made = managedfields.apply(CONFIG_MAPS, None, config, manager="m", now=NOW)
    assert entries(made)[("m", "Apply")] == {"f:data": {"f:a": {}}}
    assert set(made["metadata"]) == {"name", "managedFields"}


def test_replicas_left_to_the_autoscaler() -> None:
    """The documented way to hand a field over: stop applying it while somebody else owns it."""
    config: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 3, "paused": True},
    }
    live = managedfields.apply(DEPLOYMENTS, None, config, manager="m", now=NOW)
    shared = managedfields.apply(
        DEPLOYMENTS, live, {**config, "spec": {"replicas": 3}}, manager="hpa", now=NOW
    )
    left = managedfields.apply(
        DEPLOYMENTS, shared, {**config, "spec": {"paused": True}}, manager="m", now=NOW
    )
    assert left["spec"] == {"replicas": 3, "paused": True}
    assert entries(left)[("m", "Apply")] == {"f:spec": {"f:paused": {}}}


@pytest.mark.parametrize(
    "config",
    [
        {**config_map(a="1"), "nonsense": 1},
        {**config_map(a="1"), "data": {"a": 1}},
        {**config_map(), "metadata": {"name": "c", "managedFields": [{"manager": "x"}]}},
        pod({"name": "a"}, {"name": "a"}),
    ],
)
def test_configurations_that_do_not_fit(config: dict[str, Any]) -> None:
    kind = PODS if config["kind"] == "Pod" else CONFIG_MAPS
    live = pod({"name": "z"}) if kind is PODS else None
    with pytest.raises(ApiError) as caught:
        managedfields.apply(kind, live, config, manager="m", now=NOW)
    assert caught.value.code == 400


_data = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)


@given(_data, _data, _data)
def test_what_two_managers_apply(
    first: dict[str, str], second: dict[str, str], other: dict[str, str]
) -> None:
    """A manager's fields are its last configuration; the object is the union of all."""
    live = managedfields.apply(CONFIG_MAPS, None, config_map(**first), manager="m", now=NOW)
    live = managedfields.apply(
        CONFIG_MAPS, live, config_map(**other), manager="n", now=NOW, force=True
    )
    live = managedfields.apply(
        CONFIG_MAPS, live, config_map(**second), manager="m", now=NOW, force=True
    )
    assert live.get("data", {}) == {**other, **second}
    again = managedfields.apply(CONFIG_MAPS, live, config_map(**second), manager="m", now=LATER)
    assert again == live
