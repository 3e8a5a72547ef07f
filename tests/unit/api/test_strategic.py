import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import patch as plain
from netemu.api import strategic
from netemu.api.kinds import DEPLOYMENTS, NODES, PODS, SERVICES
from netemu.errors import ApiError


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def names(obj: dict[str, Any]) -> list[str]:
    return [container["name"] for container in obj["spec"]["containers"]]


def test_lists_merge_by_key_and_nothing_is_changed_in_place() -> None:
    live = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"})
    before = copy.deepcopy(live)
    change = pod({"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]})
    result = strategic.apply(live, change, PODS)
    env = [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]
    assert result == pod({"name": "a", "image": "2", "env": env}, {"name": "b"})
    assert live == before


def test_new_elements_come_and_deleted_ones_go() -> None:
    live = pod({"name": "a"}, {"name": "b"})
    # As upstream: what the patch names comes first, unless the live order says otherwise.
    assert names(strategic.apply(live, pod({"name": "c"}), PODS)) == ["c", "a", "b"]
    gone = strategic.apply(live, pod({"name": "a", "$patch": "delete"}), PODS)
    assert names(gone) == ["b"]


def test_replace_a_list_and_a_map() -> None:
    live = pod({"name": "a"}, {"name": "b"}, nodeSelector={"x": "1"})
    change = pod({"$patch": "replace"}, {"name": "c"})
    assert names(strategic.apply(live, change, PODS)) == ["c"]
    change = {"spec": {"nodeSelector": {"$patch": "replace", "y": "2"}}}
    assert strategic.apply(live, change, PODS)["spec"]["nodeSelector"] == {"y": "2"}
    change = {"spec": {"nodeSelector": {"$patch": "delete"}}}
    assert strategic.apply(live, change, PODS)["spec"]["nodeSelector"] == {}


def test_set_element_order() -> None:
    live = pod({"name": "a"}, {"name": "server"}, {"name": "b"})
    change = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(strategic.apply(live, change, PODS)) == ["server", "b", "a"]
    change["spec"]["containers"] = [{"name": "a", "image": "2"}]
    ordered = strategic.apply(live, change, PODS)
    assert names(ordered) == ["server", "b", "a"]
    assert ordered["spec"]["containers"][2]["image"] == "2"


def test_primitive_lists() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic.apply(live, {"metadata": {"finalizers": ["c", "a"]}}, PODS)
    assert sorted(added["metadata"]["finalizers"]) == ["a", "b", "c"]
    change = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "finalizers": ["c"],
        }
    }
    assert strategic.apply(live, change, PODS)["metadata"]["finalizers"] == ["c", "b"]


def test_retain_keys_as_kubectl_sends_them() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    result = strategic.apply(live, change, DEPLOYMENTS)
    assert result == {"spec": {"strategy": {"type": "Recreate"}}}


def test_service_ports_merge_by_port() -> None:
    live = {"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 443}]}}
    change = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    ports = strategic.apply(live, change, SERVICES)["spec"]["ports"]
    assert ports == [{"port": 80, "nodePort": 30080, "name": "http"}, {"port": 443}]


def test_node_conditions_as_flannel_patches_them() -> None:
    live = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    change = {"status": {"conditions": [{"type": "NetworkUnavailable", "status": "False"}]}}
    conditions = strategic.apply(live, change, NODES)["status"]["conditions"]
    assert {item["type"] for item in conditions} == {"Ready", "NetworkUnavailable"}


def test_atomic_lists_are_replaced_and_nulls_remove() -> None:
    live = pod({"name": "a", "args": ["1", "2"]}, hostname="x")
    change = pod({"name": "a", "args": ["3"]}, hostname=None)
    assert strategic.apply(live, change, PODS) == pod({"name": "a", "args": ["3"]})


@pytest.mark.parametrize(
    "patch",
    [
        [],
        {"$patch": "nonsense"},
        pod({"image": "no key"}),
        pod({"name": "a", "$patch": "nonsense"}),
        {"spec": {"$setElementOrder/containers": 1, "containers": []}},
        {"spec": {"$retainKeys": ["a"], "b": 1}},
    ],
)
def test_malformed(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        strategic.apply(pod({"name": "a"}), patch, PODS)
    assert caught.value.code == 400


_labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12") | st.none(), max_size=3)


@given(_labels, _labels)
def test_without_lists_it_is_a_merge_patch(
    live: dict[str, str | None], change: dict[str, str | None]
) -> None:
    known = {key: value for key, value in live.items() if value is not None}
    obj = {"metadata": {"labels": known}, "spec": {"nodeSelector": known}}
    patch = {"metadata": {"labels": change}, "spec": {"nodeSelector": change}}
    assert strategic.apply(obj, patch, PODS) == plain.apply_merge_patch(obj, patch)


_names = st.lists(st.sampled_from("abcde"), unique=True)


@given(_names, _names)
def test_every_element_stays_and_the_patch_orders_its_own(
    live: list[str], change: list[str]
) -> None:
    obj = pod(*({"name": name} for name in live))
    merged = names(strategic.apply(obj, pod(*({"name": name} for name in change)), PODS))
    assert sorted(merged) == sorted({*live, *change})
    assert [name for name in merged if name in change] == change
    rest = [name for name in live if name not in change]
    assert [name for name in merged if name not in change] == rest
