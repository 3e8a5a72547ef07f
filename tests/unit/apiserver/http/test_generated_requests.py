"""Requests made from the published OpenAPI, right and wrong ones: none is answered with a 500.

What schemathesis does, without its 60 packages: each path and verb of the documents, parameters and
bodies that follow the schema, and here and there a value that does not.
"""

import asyncio
import json
import random
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from netemu.apiserver.server import ApiServer

REQUESTS = 500
WILD: tuple[Any, ...] = (
    *(None, "", 0, -1, 1.5, 2**70, True, [], {}, [None], {"": None}, [[]], {"a": {"b": [1]}}),
    *(
        "0x0",
        "\x00",
        "é\ud7ff",
        "a/b",
        "..",
        "-",
        "x" * 300,
        "1Gi",
        "2020-01-01",
        "10.0.0.1",
        "::1",
    ),
    *("*", "a=b", "a in (b", "!", "{", "99999999999999999999", "1e9", "-0", "true"),
)
MEDIA = (
    *("application/json", "application/merge-patch+json", "application/json-patch+json"),
    *("application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/html"),
    *("application/yaml", "application/vnd.kubernetes.protobuf", ""),
)
QUERIES = (
    *("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector"),
    *("fieldSelector", "dryRun", "fieldManager", "force", "fieldValidation", "pretty"),
    *("gracePeriodSeconds", "propagationPolicy", "orphanDependents", "includeObject"),
    *("tailLines", "sinceSeconds", "sinceTime", "limitBytes", "container", "command", "ports"),
)


METADATA = (
    *("labels", "annotations", "finalizers", "ownerReferences", "namespace", "generateName", "uid"),
    *("managedFields", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
)


class Maker:
    """Values for schemas of one OpenAPI document."""

    def __init__(self, rng: random.Random, components: dict[str, Any]) -> None:
        self.rng, self.components = rng, components

    def value(self, schema: dict[str, Any], depth: int = 0) -> Any:
        if self.rng.random() < 0.03:
            return self.rng.choice(WILD)
        if "$ref" in schema:
            return self.value(self.components[schema["$ref"].rpartition("/")[2]], depth)
        for key in ("allOf", "oneOf", "anyOf"):
            if schema.get(key):
                return self.value(self.rng.choice(schema[key]), depth)
        if schema.get("enum"):
            return self.rng.choice(schema["enum"])
        return self.typed(schema, depth)

    def typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            return self.object(schema, depth)
        if kind == "array":
            most = 0 if depth > 7 else 2
            return [
                self.value(schema.get("items") or {}, depth + 1)
                for _ in range(self.rng.randint(0, most))
            ]
        if kind == "integer":
            return self.rng.choice((0, 1, 2, 80, 443, 65536, -3))
        if kind == "boolean":
            return self.rng.random() < 0.5
        if kind == "number":
            return self.rng.choice((0.5, 3))
        return self.rng.choice(("a", "b", "default", "1", "10.0.0.1", "2024-01-01T00:00:00Z", "5%"))

    def object(self, schema: dict[str, Any], depth: int) -> Any:
        chance = 0.55 if depth < 3 else 0.35 if depth < 8 else 0.0
        required = schema.get("required") or ()
        found = {
            name: self.value(part, depth + 1)
            for name, part in (schema.get("properties") or {}).items()
            if name in required or self.rng.random() < chance
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and self.rng.random() < chance:
            found[self.rng.choice(("a", "b", "x/y"))] = self.value(more, depth + 1)
        return found


Operation = tuple[str, str, dict[str, Any], dict[str, Any]]


async def operations(ask: Any) -> list[Operation]:
    """(path, method, schema of the body, components) of everything published."""
    found: list[Operation] = []
    index = json.loads((await ask("GET", "/openapi/v3", {}, b""))[1])
    for place in index["paths"].values():
        url = place["serverRelativeURL"]
        document = json.loads((await ask("GET", url, {}, b""))[1])
        components = document["components"]["schemas"]
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method not in ("get", "put", "post", "patch", "delete"):
                    continue
                content = (operation.get("requestBody") or {}).get("content") or {}
                schema = next(iter(content.values()), {}).get("schema") or {}
                found.append((path, method.upper(), schema, components))
    return found


def one_request(rng: random.Random, operation: Operation) -> tuple[str, str, dict, bytes]:
    path, method, schema, components = operation
    make = Maker(rng, components)
    name = rng.choice(("a", "a", "b", "default", "kubernetes", "no", str(rng.choice(WILD))))
    space = rng.choice(("default", "default", "default", "no", str(rng.choice(WILD))))
    path = path.replace("{namespace}", quote(space, safe="")).replace("{path}", "x")
    path = path.replace("{name}", quote(name, safe=""))
    query = {"timeoutSeconds": "1"}
    for key in rng.sample(QUERIES, rng.choice((0, 0, 1, 2))):
        query[key] = str(rng.choice(("1", "All", "a", "true", *WILD)))
    body, media = b"", rng.choice(("application/json", "application/json", *MEDIA))
    if method == "PATCH":
        media = rng.choice(MEDIA[1:5])
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        document = make.value(schema)
        if method == "PATCH" and not isinstance(document, dict | list):
            document = make.typed({"type": "object"}, 0)
        if isinstance(document, dict) and rng.random() < 0.9:
            document.pop("apiVersion", None)
            document.pop("kind", None)
            wild = {rng.choice(METADATA): rng.choice(WILD)} if rng.random() < 0.1 else {}
            document["metadata"] = {"name": name, **wild}
        if media == "application/json-patch+json" and rng.random() < 0.9:
            operations = ("add", "remove", "replace", "move", "copy", "test", "no")
            places = (
                "/spec",
                "/metadata/labels",
                "/metadata/name",
                "/spec/ports/0",
                "",
                "/x/-/0",
                "~",
            )
            document = [
                {"op": rng.choice(operations), "path": rng.choice(places), "value": document},
            ]
        body = json.dumps(document).encode("utf-8", "surrogatepass")
        if rng.random() < 0.02:
            body = body[: rng.randint(0, len(body))] + rng.choice((b"", b"\xff", b"}" * 3))
    return (
        method,
        f"{path}?{urlencode(query, errors='surrogatepass')}",
        {"Content-Type": media},
        body,
    )


@pytest.fixture
def ask(server: ApiServer):
    async def request(method: str, path: str, headers: dict, body: bytes) -> tuple[int, bytes]:
        """On a connection of its own, as curl would."""
        reader, writer = await asyncio.open_unix_connection(str(server.socket), limit=1 << 20)
        head = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        head += [f"Content-Length: {len(body)}", "", ""]
        writer.write("\r\n".join(head).encode() + body)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
        status = int(answer.split(b" ", 2)[1])
        text = answer.partition(b"\r\n\r\n")[2]
        return status, text

    return request


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_answered_with_a_500(ask, seed: int) -> None:
    rng = random.Random(seed)
    choices = [
        found
        for found in await operations(ask)
        if "/watch/" not in found[0] and not found[0].endswith(("/exec", "/attach", "/portforward"))
    ]
    failures, accepted = [], 0
    for _ in range(REQUESTS):
        method, target, headers, body = one_request(rng, rng.choice(choices))
        status, answer = await ask(method, target, headers, body)
        accepted += status < 300
        if status == 500:
            failures.append((method, target, headers, body[:2000], answer[:300]))
    assert not failures, failures[:3]
    assert accepted > REQUESTS // 20
