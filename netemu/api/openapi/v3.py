"""OpenAPI v3: an index, and one document a group and version.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from netemu.api.discovery import by_group
from netemu.api.kind import Kind
from netemu.api.openapi.operations import Operation, of_kind
from netemu.api.openapi.schemas import (
    DELETE_OPTIONS,
    PATCH,
    STATUS,
    build,
    list_name_of,
    name_of,
    reference,
)
from netemu.api.schema.definitions import KUBERNETES_VERSION

SCALE = "io.k8s.api.autoscaling.v1.Scale"


def v3_index(kinds: Iterable[Kind]) -> dict[str, Any]:
    """`/openapi/v3`: where each document is; the hash changes when the document would."""
    paths = {}
    for group, versions in by_group(kinds).items():
        for version, found in versions.items():
            where = f"apis/{group}/{version}" if group else f"api/{version}"
            url = f"/openapi/v3/{where}?hash={_hash(found)}"
            paths[where] = {"serverRelativeURL": url}
    return {"paths": paths}


def _hash(kinds: Iterable[Kind]) -> str:
    known = [
        [kind.plural, kind.kind, sorted(kind.subresources), sorted(kind.verbs), kind.open_api]
        for kind in kinds
    ]
    text = json.dumps([KUBERNETES_VERSION, known], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest().upper()


def v3_document(kinds: Iterable[Kind], group: str, version: str) -> dict[str, Any] | None:
    """`/openapi/v3/apis/{group}/{version}`; None when there is no such version."""
    found = by_group(kinds).get(group, {}).get(version)
    if found is None:
        return None
    paths: dict[str, Any] = {}
    for kind in found:
        for operation in of_kind(kind):
            item = paths.setdefault(operation.path, {})
            item[operation.method] = _operation(operation)
            item.setdefault("parameters", _path_parameters(operation))
    schemas = build(found, version=3, bodies=(SCALE,))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    named = [name for name in ("name", "namespace") if f"{{{name}}}" in operation.path]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in named
    ]


def _operation(operation: Operation) -> dict[str, Any]:
    kind = operation.kind
    made: dict[str, Any] = {
        "operationId": operation.identity,
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": shape}}
            for name, shape in operation.query
        ],
        "responses": _responses(operation),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
        },
    }
    body = _body(operation)
    if body:
        made["requestBody"] = body
    return made


def _object(operation: Operation) -> str:
    return SCALE if operation.subresource == "scale" else name_of(operation.kind)


def _body(operation: Operation) -> dict[str, Any] | None:
    if operation.method == "patch":
        schema = {"schema": reference(PATCH, 3)}
        return {"content": dict.fromkeys(operation.patch_types, schema), "required": True}
    if operation.method in ("post", "put"):
        schema = {"schema": reference(_object(operation), 3)}
        return {"content": {"*/*": schema}, "required": True}
    if operation.method == "delete":
        return {"content": {"*/*": {"schema": reference(DELETE_OPTIONS, 3)}}}
    return None


def _responses(operation: Operation) -> dict[str, Any]:
    name = _object(operation)
    if operation.action == "list":
        name = list_name_of(operation.kind)
    elif operation.method == "delete":
        name = STATUS
    content = {"application/json": {"schema": reference(name, 3)}}
    good = {"description": "OK", "content": content}
    responses = {"200": good, "401": {"description": "Unauthorized"}}
    if operation.method in ("post", "put", "patch"):
        responses["201"] = {**good, "description": "Created"}
    if operation.method in ("post", "delete"):
        responses["202"] = {**good, "description": "Accepted"}
    return responses
