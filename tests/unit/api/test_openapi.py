import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from netemu.api import openapi
from netemu.api.kinds import ALL, DEPLOYMENTS, PODS
from netemu.api.openapi.v2 import _document_class
from netemu.api.versions import served


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_index_names_every_version() -> None:
    paths = openapi.v3_index(ALL)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/events.k8s.io/v1"} <= set(paths)
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")


def test_documents_are_whole() -> None:
    for group, version in {(each.group, each.version) for kind in ALL for each in served(kind)}:
        document = openapi.v3_document(ALL, group, version)
        assert document is not None
        schemas = document["components"]["schemas"]
        named = {text.removeprefix("#/components/schemas/") for text in _references(document)}
        assert named <= set(schemas)
    assert openapi.v3_document(ALL, "nonsense", "v1") is None


def test_what_kubectl_looks_for_in_a_patch() -> None:
    """kubectl apply (patcher.go) asks whether the server validates fields and merges lists."""
    document = openapi.v3_document(ALL, "apps", "v1")
    assert document is not None
    item = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    patch = item["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert patch["x-kubernetes-action"] == "patch"
    assert {"dryRun", "fieldValidation"} <= {entry["name"] for entry in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_schemas_carry_texts_and_merge_keys() -> None:
    document = openapi.v3_document([PODS], "", "v1")
    assert document is not None
    spec = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    containers = spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["description"].startswith("List of containers")
    assert containers["items"]["allOf"][0]["$ref"].endswith("io.k8s.api.core.v1.Container")


def test_v2_is_whole_in_both_forms() -> None:
    document = openapi.v2_document([PODS, DEPLOYMENTS])
    named = {text.removeprefix("#/definitions/") for text in _references(document)}
    assert named <= set(document["definitions"])
    json.dumps(document)
    parsed: Message = _document_class()()
    parsed.ParseFromString(openapi.v2_protobuf([PODS, DEPLOYMENTS]))
    definitions = parsed.definitions.additional_properties  # type: ignore[attr-defined]
    assert {entry.name for entry in definitions} == set(document["definitions"])
    pod = next(entry.value for entry in definitions if entry.name == "io.k8s.api.core.v1.Pod")
    (extension,) = pod.vendor_extension
    assert json.loads(extension.value.yaml) == [{"group": "", "version": "v1", "kind": "Pod"}]
