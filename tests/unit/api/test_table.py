from typing import Any

from netemu.api import table
from netemu.api.kinds import CLUSTER_ROLES, CONFIG_MAPS, PODS

OBJ: dict[str, Any] = {
    "metadata": {
        "name": "c",
        "namespace": "d",
        "resourceVersion": "7",
        "creationTimestamp": "1970-01-01T00:00:00Z",
    },
    "data": {"a": "b"},
}


def test_a_list() -> None:
    rendered = table.render(CONFIG_MAPS, [OBJ], now=60, list_metadata={"resourceVersion": "9"})
    assert (rendered["kind"], rendered["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert rendered["metadata"] == {"resourceVersion": "9"}
    names = [(column["name"], column["format"]) for column in rendered["columnDefinitions"]]
    assert names == [("Name", "name"), ("Data", ""), ("Age", "")]
    (row,) = rendered["rows"]
    assert row["cells"] == ["c", 1, "60s"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["name"] == "c"


def test_columns_are_described_as_the_fields_they_show() -> None:
    definitions = table.render(PODS, [], now=0)["columnDefinitions"]
    texts = {column["name"]: column["description"] for column in definitions}
    assert texts["Node"].startswith("NodeName indicates in which node this pod is scheduled.")
    assert texts["Ready"] == "The aggregate readiness state of this pod for accepting traffic."


def test_what_rows_carry() -> None:
    whole = table.render(CONFIG_MAPS, [OBJ], now=0, include="Object")["rows"][0]
    assert whole["object"] is OBJ
    assert "object" not in table.render(CONFIG_MAPS, [OBJ], now=0, include="None")["rows"][0]


def test_kinds_without_columns_show_their_creation() -> None:
    rendered = table.render(CLUSTER_ROLES, [OBJ], now=0)
    assert [column["type"] for column in rendered["columnDefinitions"]] == ["string", "date"]
    assert rendered["rows"][0]["cells"] == ["c", "1970-01-01T00:00:00Z"]


def test_rows_say_that_a_pod_has_ended() -> None:
    done = {**OBJ, "status": {"phase": "Succeeded"}}
    (condition,) = table.render(PODS, [done], now=0)["rows"][0]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Completed", "Succeeded")
