"""OpenAPI v2: one document of everything, as JSON and in gnostic's protobuf form.

kubectl up to 1.28 takes only the latter, and validates and explains by it.
https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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
from netemu.api.openapi.v3 import SCALE
from netemu.api.schema.definitions import KUBERNETES_VERSION, read_data
from netemu.api.versions import served

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The Content-Type of the answer. (The `@` form that clients ask with breaks kubectl 1.20.)"""


def v2_document(kinds: Iterable[Kind]) -> dict[str, Any]:
    """`/openapi/v2` as JSON."""
    found = [each for kind in kinds for each in served(kind)]
    paths: dict[str, Any] = {}
    for kind in found:
        for operation in of_kind(kind):
            item = paths.setdefault(operation.path, {"parameters": _path_parameters(operation)})
            item[operation.method] = _operation(operation)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "definitions": build(found, version=2, bodies=(SCALE,)),
    }


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    named = [name for name in ("name", "namespace") if f"{{{name}}}" in operation.path]
    return [{"name": name, "in": "path", "required": True, "type": "string"} for name in named]


def _operation(operation: Operation) -> dict[str, Any]:
    kind = operation.kind
    name = SCALE if operation.subresource == "scale" else name_of(kind)
    parameters: list[dict[str, Any]] = [
        {"name": query, "in": "query", "type": shape} for query, shape in operation.query
    ]
    body = {"post": name, "put": name, "patch": PATCH, "delete": DELETE_OPTIONS}.get(
        operation.method
    )
    if body:
        required = operation.method != "delete"
        schema = reference(body, 2)
        parameters.append({"name": "body", "in": "body", "required": required, "schema": schema})
    if operation.action == "list":
        name = list_name_of(kind)
    elif operation.method == "delete":
        name = STATUS
    good = {"description": "OK", "schema": reference(name, 2)}
    made: dict[str, Any] = {
        "operationId": operation.identity,
        "consumes": list(operation.patch_types) if operation.method == "patch" else ["*/*"],
        "produces": ["application/json"],
        "parameters": parameters,
        "responses": {"200": good, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
        },
    }
    return made


def v2_protobuf(kinds: Iterable[Kind]) -> bytes:
    """`/openapi/v2` as a gnostic Document. Takes tens of milliseconds: keep it."""
    source = v2_document(kinds)
    document = _document_class()()
    document.swagger = source["swagger"]
    document.info.title = source["info"]["title"]
    document.info.version = source["info"]["version"]
    for name, schema in source["definitions"].items():
        named = document.definitions.additional_properties.add()
        named.name = name
        _put_schema(named.value, schema)
    for path, item in source["paths"].items():
        entry = document.paths.path.add()
        entry.name = path
        for method, operation in item.items():
            if method == "parameters":
                for parameter in operation:
                    _put_parameter(entry.value.parameters.add().parameter, parameter)
            else:
                _put_operation(getattr(entry.value, method), operation)
    encoded: bytes = document.SerializeToString()
    return encoded


@cache
def _document_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString(read_data("gnostic.fds.gz"))
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("openapi.v2.Document"))


def _put_operation(target: Any, operation: dict[str, Any]) -> None:
    target.operation_id = operation["operationId"]
    target.consumes.extend(operation["consumes"])
    target.produces.extend(operation["produces"])
    for parameter in operation["parameters"]:
        _put_parameter(target.parameters.add().parameter, parameter)
    for code, response in operation["responses"].items():
        named = target.responses.response_code.add()
        named.name = code
        named.value.response.description = response["description"]
        if "schema" in response:
            _put_schema(named.value.response.schema.schema, response["schema"])
    _put_extensions(target, operation)


def _put_parameter(target: Any, parameter: dict[str, Any]) -> None:
    if parameter["in"] == "body":
        body = target.body_parameter
        body.name, body.required = parameter["name"], parameter["required"]
        setattr(body, "in", "body")
        _put_schema(body.schema, parameter["schema"])
        return
    kind = target.non_body_parameter
    in_path = parameter["in"] == "path"
    sub = kind.path_parameter_sub_schema if in_path else kind.query_parameter_sub_schema
    sub.name, sub.type = parameter["name"], parameter["type"]
    if in_path:
        sub.required = True
    setattr(sub, "in", parameter["in"])


def _put_schema(target: Any, schema: dict[str, Any]) -> None:
    for key, value in schema.items():
        match key:
            case "$ref":
                target._ref = value
            case "format" | "title" | "description" | "pattern":
                setattr(target, key, value)
            case "type":
                target.type.value.append(value)
            case "required":
                target.required.extend(value)
            case "enum":
                for choice in value:
                    target.enum.add().yaml = json.dumps(choice)
            case "items":
                _put_schema(target.items.schema.add(), value)
            case "additionalProperties":
                if isinstance(value, bool):
                    target.additional_properties.boolean = value
                else:
                    _put_schema(target.additional_properties.schema, value)
            case "properties":
                for name, inner in value.items():
                    named = target.properties.additional_properties.add()
                    named.name = name
                    _put_schema(named.value, inner)
    _put_extensions(target, schema)


def _put_extensions(target: Any, source: dict[str, Any]) -> None:
    for key, value in source.items():
        if key.startswith("x-"):
            extension = target.vendor_extension.add()
            extension.name = key
            extension.value.yaml = json.dumps(value)
