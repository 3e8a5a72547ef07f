"""What clients should not send: an answer with the right code, soon, and others are served on."""

import asyncio
import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netemu.api.kinds import ALL
from netemu.client.http import HttpClient
from netemu.errors import ApiError

PODS = "/api/v1/namespaces/default/pods"
JSON = "application/json"


async def code_of(http, method, path, body=None, content_type=JSON, params=None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await http.json(method, path, body=body, content_type=content_type, params=params)
    assert caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b"null", JSON, 400),
        (b"\xff\xfe{}", JSON, 400),
        (b'{"metadata": "x"}', JSON, 400),
        (b'{"metadata": {"name": 3}}', JSON, 400),
        (b'{"kind": "Node"}', JSON, 400),
        (b'{"apiVersion": "v2"}', JSON, 400),
        (b'{"metadata":{"labels":{"a":1}}}', JSON, 400),
        (b'{"spec":{"containers":{}}}', JSON, 400),
        (b'{"a":' * 100_000, JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"a: [", "application/yaml", 400),
        (b"a: &a [x]\nb: [*a, *a]", "application/yaml", 400),
        (b"\x80", "application/yaml", 400),
        (b"k8s\0garbage", "application/vnd.kubernetes.protobuf", 400),
        (b"", "application/vnd.kubernetes.protobuf", 400),
        (b"x", "image/png", 415),
        (b'{"metadata":{"name":"Bad Name"},"spec":{"containers":[]}}', JSON, 422),
    ],
)
async def test_bodies(http, body, content_type, code):
    error = await code_of(http, "POST", PODS, body, content_type)
    assert error.code == code
    assert (await http.json("GET", "/version"))["gitVersion"]


async def test_a_body_that_is_too_large(http, server):
    error = await code_of(http, "POST", PODS, b" " * (4 << 20))
    assert (error.code, error.reason) == (413, "RequestEntityTooLarge")
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(f"POST {PODS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(100):
        writer.write(block)
    head = await asyncio.wait_for(reader.readline(), 60)
    assert b" 413 " in head
    writer.close()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/nothing/v1/things", 404),
        ("GET", "/api/v1/things", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/nowhere", 404),
        ("GET", PODS + "/a/frobnicate", 404),
        ("PUT", PODS + "/a/log", 405),
        ("PUT", PODS, 405),
        ("POST", PODS + "/a", 405),
        ("PATCH", PODS, 405),
        ("OPTIONS", PODS, 405),
        ("DELETE", "/version", 405),
        ("POST", "/api", 405),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
    ],
)
async def test_paths_and_methods(http, method, path, code):
    assert (await code_of(http, method, path)).code == code


@pytest.mark.parametrize("number", ["x", "1_0", " 1", "1.0", "0x1", "٣", "9" * 20, "-" + "9" * 20])
async def test_numbers_that_are_none(http, number):
    for key in ("resourceVersion", "limit", "timeoutSeconds"):
        watch = {"watch": "1"} if key == "timeoutSeconds" else {}
        error = await code_of(http, "GET", PODS, params={key: number, **watch})
        assert error.code == 400 and key in error.message


@pytest.mark.parametrize("error", [ApiError("BadRequest", "no"), ValueError("defect")])
async def test_an_error_in_the_middle_of_an_answer_ends_it(server, monkeypatch, error):
    """Another answer in its midst would be taken for a part of it."""

    def fail(*anything):
        raise error

    monkeypatch.setattr("netemu.apiserver.http.watches._Stream._follow", fail)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(f"GET {PODS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = b""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1") <= 1 and b"Failure" not in answer


async def test_patches_of_an_unknown_kind_name_what_is_known(http):
    error = await code_of(http, "PATCH", PODS + "/a", {}, "application/fancy-patch")
    assert error.code == 415 and "application/merge-patch+json" in error.message


async def test_a_header_that_never_ends(server, monkeypatch):
    monkeypatch.setattr("netemu.apiserver.http.sniff._HEADER_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    assert b"408" in await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert b"431" in await asyncio.wait_for(reader.readline(), 60)
    writer.close()


async def test_a_body_that_never_comes(server, monkeypatch):
    monkeypatch.setattr("netemu.apiserver.http.body._SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(f"POST {PODS} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
    assert b"408" in await asyncio.wait_for(reader.readline(), 60)
    writer.close()


@pytest.mark.parametrize(
    "lines",
    [
        "Upgrade: SPDY/3.1\r\nConnection: Upgrade",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x",
        "Upgrade: h2c\r\nConnection: Upgrade",
    ],
)
async def test_wrong_upgrades(server, lines):
    for path in (f"{PODS}/none/exec?command=x&stdout=true", PODS, "/version", "/%%%/"):
        reader, writer = await asyncio.open_unix_connection(str(server.socket))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n".encode())
        status = int((await asyncio.wait_for(reader.readline(), 60)).split()[1])
        assert status in (200, 400, 404)
        writer.close()


PATCHES = [
    JSON,
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = ["metadata", "spec", "status", "kind", "apiVersion", "name", "labels", "data"]
NAMES += ["containers", "ports", "selector", "template", "rules", "versions", "names", "target"]
NAMES += ["deleteOptions", "replicas", "finalizers", "type", "subsets", "endpoints", "addresses"]
OBJECTS = st.recursive(
    ANYTHING,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=10,
)


KINDS = sorted(ALL, key=lambda kind: (kind.group, kind.plural))


@settings(
    max_examples=int(os.environ.get("NETEMU_FUZZ", "80")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(KINDS),
    body=st.dictionaries(st.sampled_from(NAMES), OBJECTS, max_size=5),
    method=st.sampled_from(["POST", "POST", "PUT", "PATCH", "DELETE"]),
    media=st.sampled_from(PATCHES),
    validation=st.sampled_from(["", "Strict", "Ignore"]),
    part=st.sampled_from(
        ["", "", "", "status", "scale", "binding", "finalize", "eviction", "token"]
    ),
    named=st.booleans(),
)
async def test_no_object_makes_the_server_fail(
    http, kind, body, method, media, validation, part, named
):
    path = kind.path("default", "" if method == "POST" and not part else "x", part)
    if named:
        body = {**body, "metadata": {"name": "x"}}
    content_type = media if method == "PATCH" else JSON
    params = {"fieldValidation": validation, "fieldManager": "fuzz", "force": "true"}
    try:
        await http.json(method, path, body=body, content_type=content_type, params=params)
    except ApiError as error:
        assert error.code < 500, error.message


async def test_others_are_served_while_one_client_stalls(server, http):
    stalled = [await asyncio.open_unix_connection(str(server.socket)) for _ in range(50)]
    for _, writer in stalled:
        writer.write(b"GET /api/v1/pods HTTP/1.1\r\n")
    for _ in range(20):
        await asyncio.wait_for(http.json("GET", "/api/v1/pods"), 60)
    for _, writer in stalled:
        writer.close()


async def test_a_client_is_told_who_refuses_it(tmp_path):
    with pytest.raises(OSError):
        await HttpClient.unix(tmp_path / "none").json("GET", "/version")
