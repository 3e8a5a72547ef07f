"""Keys that a body has twice, as fieldValidation tells of them."""

import asyncio
import json
import re
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.apiserver.http.duplicates import duplicates
from netemu.errors import ApiError

JSON, YAML = "application/json", "application/yaml"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MAPS = "/api/v1/namespaces/default/configmaps"
TWICE = b"""{
  "metadata": {"name": "d", "labels": {"app": "a", "app": "b"}},
  "spec": {
    "unknown": 1, "twice": {"a": 1, "a": 2}, "twice": 2,
    "paused": true, "paused" : false,
    "selector": {"matchLabels": {"app": "nginx"}},
    "template": {
      "metadata": {"labels": {"app": "nginx"}},
      "spec": {"containers": [
        {"name": "c", "image": "x", "imagePullPolicy": "Always", "image\\u0050ullPolicy": "Never"}
      ]}
    }
  }
}"""
FOUND = [
    'duplicate field "metadata.labels.app"',
    'duplicate field "spec.paused"',
    'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    'unknown field "spec.unknown"',
    'unknown field "spec.twice"',
]
YAML_TWICE = b"""metadata:
  name: y
  name: z
data:
  a: x
  "a":
    y
"""


async def warnings(server, method, path, body, content_type=JSON, **params):
    """The texts of all Warning headers, and the answer."""
    lines = [f"{method} {path}?{urlencode(params)} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "", ""]
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write("\r\n".join(lines).encode() + body)
    async with asyncio.timeout(60):
        head, _, answer = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    told = re.findall(r'\r\nWarning: 299 - "(.*)"', head)
    return [text.replace('\\"', '"') for text in told], json.loads(answer)


async def refused(http, body, content_type=JSON, path=DEPLOYMENTS):
    with pytest.raises(ApiError) as caught:
        await http.json(
            "POST", path, body=body, content_type=content_type, params={"fieldValidation": "Strict"}
        )
    assert caught.value.code == 400
    return caught.value.message


async def test_strict_refuses(http):
    assert await refused(http, TWICE) == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        + ", ".join(FOUND)
    )


async def test_warn_tells_and_takes_the_last(server):
    told, made = await warnings(server, "POST", DEPLOYMENTS, TWICE)
    assert told == FOUND
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never"
    assert made["metadata"]["labels"] == {"app": "b"}


async def test_ignore_says_nothing(server):
    assert (await warnings(server, "POST", DEPLOYMENTS, TWICE, fieldValidation="Ignore"))[0] == []


async def test_yaml_has_lines(http, server):
    message = await refused(http, YAML_TWICE, YAML, MAPS)
    assert message.endswith(
        "strict decoding error: yaml: unmarshal errors:\n"
        '  line 3: key "name" already set in map\n  line 7: key "a" already set in map'
    )
    told, made = await warnings(server, "POST", MAPS, YAML_TWICE, YAML)
    assert told == [
        'line 3: key "name" already set in map',
        'line 7: key "a" already set in map',
    ]
    assert made["metadata"]["name"] == "z"


@pytest.mark.parametrize(
    ("media", "body", "found"),
    [
        ("merge-patch+json", b'{"data":{"a":"1","a":"2"}}', 'duplicate field "data.a"'),
        ("strategic-merge-patch+json", b'{"data":{"a":"1","a":"2"}}', 'duplicate field "data.a"'),
        (
            "json-patch+json",
            b'[{"op":"add","path":"/data/b","path":"/data/a","value":"2"}]',
            'json patch duplicate field "[0].path"',
        ),
        (
            "apply-patch+yaml",
            b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: '1'\n  a: '2'",
            'line 5: key "a" already set in map',
        ),
    ],
)
async def test_patches(http, server, media, body, found):
    await http.json("POST", MAPS, body={"metadata": {"name": "m"}, "data": {"c": "3"}})
    content_type = f"application/{media}"
    options = {"fieldManager": "x"}
    with pytest.raises(ApiError) as caught:
        strict = {**options, "fieldValidation": "Strict"}
        await http.json("PATCH", f"{MAPS}/m", body=body, content_type=content_type, params=strict)
    assert found in caught.value.message
    told, made = await warnings(server, "PATCH", f"{MAPS}/m", body, content_type, **options)
    assert told == [found] and made["data"]["a"] == "2"


class Pairs(tuple):
    """A JSON object whose keys need not differ."""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a": \\\n\u00e9', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.text(alphabet='ab":\\', max_size=2), inner), max_size=4).map(Pairs)
    ),
    max_leaves=8,
)


def written(value, colon: str, ascii_only: bool) -> str:
    if isinstance(value, Pairs):
        members = (
            json.dumps(key, ensure_ascii=ascii_only) + colon + written(inner, colon, ascii_only)
            for key, inner in value
        )
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(inner, colon, ascii_only) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def repeats(value) -> bool:
    """Whether some object in `value`, as it is decoded, has a key twice."""
    if isinstance(value, Pairs):
        last = dict(value)
        return len(last) < len(value) or any(repeats(inner) for inner in last.values())
    return isinstance(value, list) and any(repeats(inner) for inner in value)


@given(VALUES, st.sampled_from([":", ": ", " :", "\n:"]), st.booleans())
def test_the_quick_look_misses_nothing(value, colon, ascii_only):
    data = written(value, colon, ascii_only).encode()
    assert bool(duplicates(data, JSON, msgspec.json.decode(data))) == repeats(value)


def test_what_no_second_reader_takes_has_no_duplicates_to_tell():
    """A number that Python's reader refuses, beside a character that YAML's refuses."""
    data = b'{"a":"\x7f","b":' + b"9" * 5000 + b',"b":1}'
    assert duplicates(data, JSON, {"a": "\x7f", "b": 1}) == ()
