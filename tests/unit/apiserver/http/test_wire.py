"""Bytes that no good client sends, on a real socket: a Status with the right code, or the end."""

import asyncio
import contextlib
import json
import resource
import ssl

import pytest

from host_kubelet import HostKubelet
from netemu.api import kinds

PODS = b"/api/v1/namespaces/default/pods"
MAPS = b"/api/v1/namespaces/default/configmaps"
LIMIT = 30.0


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"GET %b HTTP/1.1" % path, b"Host: x", *headers, b"", b""))


def post(body: bytes, *headers: bytes, path: bytes = MAPS) -> bytes:
    length = b"Content-Length: %d" % len(body)
    lines = (b"POST %b HTTP/1.1" % path, b"Host: x", length, *headers, b"", b"")
    return b"\r\n".join(lines) + body


def named(name: bytes) -> bytes:
    return b'{"metadata":{"name":"%b"}}' % name


WEBSOCKET = (b"Upgrade: websocket", b"Connection: Upgrade")
SPDY = (b"Upgrade: SPDY/3.1", b"Connection: Upgrade")
YAML = b"Content-Type: application/yaml"
CHUNKED = b"Transfer-Encoding: chunked"
CASES = {
    "garbage": (b"\x00\x01\x02\x03 hello", 400),
    "TLS": (bytes.fromhex("1603010200010001fc0303") + b"x" * 100, 400),
    "text": (b"hello world\r\n\r\n", 400),
    "no end in sight": (b"x" * 100, 400),
    "version": (b"GET /version HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "header without a colon": (get(b"/version", b"Hello"), 400),
    "header name": (get(b"/version", b"He llo: x"), 400),
    "NUL in a header": (get(b"/version", b"Hello: \0"), 400),
    "long line": (get(b"/" + b"x" * 100_000), 431),
    "long header": (get(b"/version", b"X: " + b"x" * 70_000), 431),
    "many headers": (get(b"/version", *[b"A: b"] * 5000), 400),
    "two lengths": (post(b"{}", b"Content-Length: 4"), 400),
    "negative length": (post(b"", b"Content-Length: -3"), 400),
    "length and chunks": (post(b"0\r\n\r\n", CHUNKED), 400),
    "coding": (get(MAPS, b"Transfer-Encoding: frob"), 400),
    "chunk": (get(MAPS, CHUNKED).replace(b"GET", b"POST") + b"zz\r\n{}\r\n0\r\n\r\n", 400),
    "huge chunk": (get(MAPS, CHUNKED).replace(b"GET", b"POST") + b"f" * 18 + b"\r\n{}", 400),
    "gzip": (post(b"\x1f\x8b\x08\x00", b"Content-Encoding: gzip"), 400),
    "path not UTF-8": (get(PODS + b"/\xff\xfe"), 400),
    "path not UTF-8, encoded": (get(PODS + b"/%ff%fe"), 404),
    "resource not UTF-8": (get(b"/api/v1/namespaces/a/%ff"), 404),
    "subresource not UTF-8": (get(PODS + b"/a/%ff"), 404),
    "query not UTF-8": (get(PODS + b"?labelSelector=\xff"), 400),
    "selector not UTF-8": (get(PODS + b"?labelSelector=%ff"), 400),
    "limit not UTF-8": (get(PODS + b"?limit=%ff"), 400),
    "continue not UTF-8": (get(PODS + b"?limit=1&continue=%ff"), 400),
    "manager not UTF-8": (post(named(b"m"), path=MAPS + b"?fieldManager=%ff"), 201),
    "agent not UTF-8": (post(named(b"a"), b"User-Agent: \xff/1"), 201),
    "type not UTF-8": (post(named(b"t"), b"Content-Type: \xff"), 415),
    "accept not UTF-8": (get(PODS, b"Accept: \xff"), 406),
    "user not UTF-8": (get(PODS, b"Impersonate-User: \xff\xfe"), 403),
    "body not UTF-8": (post(named(b"\xff")), 400),
    "half a pair": (post(named(b"\\ud800")), 400),
    "NUL": (post(named(b"\\u0000")), 422),
    "UTF-16": (post("{}".encode("utf-16")), 400),
    "NaN": (post(b'{"metadata":{"name":"x","generation":NaN}}'), 400),
    "large number": (post(b'{"metadata":{"generation":%b}}' % (b"9" * 5000)), 400),
    "nothing": (post(b""), 400),
    "half": (post(b'{"metadata":'), 400),
    "protobuf": (post(b"k8s\0\x0a\xff", b"Content-Type: application/vnd.kubernetes.protobuf"), 400),
    "YAML bomb": (post(b"a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]", YAML), 400),
    "deep YAML": (post(b"[" * 20_000, YAML), 400),
    "deep YAML blocks": (post(b"- " * 20_000, YAML), 400),
    "YAML that runs": (post(b"!!python/object/apply:os.system ['id']", YAML), 400),
    "two documents": (post(b"a: 1\n---\nb: 2\n", YAML), 400),
    "kind": (post(b'{"kind":"Secret","apiVersion":"v1"}'), 400),
    "group version": (post(b'{"kind":"ConfigMap","apiVersion":"v7"}'), 400),
    "subresource": (get(PODS + b"/a/nothing/more"), 404),
    "climbing path": (get(b"/api/v1/../../etc/passwd"), 404),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "TRACE": (b"TRACE /version HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "exec without an upgrade": (get(PODS + b"/web/exec?command=x&stdout=1"), 400),
    "exec without a pod": (get(PODS + b"/no/exec?command=x&stdout=1", *WEBSOCKET), 404),
    "exec without a key": (get(PODS + b"/web/exec?command=x&stdout=1", *WEBSOCKET), 400),
    "exec to another protocol": (
        get(PODS + b"/web/exec?command=x&stdout=1", b"Upgrade: x", b"Connection: Upgrade"),
        400,
    ),
    "SPDY without streams": (get(PODS + b"/web/exec?command=x", *SPDY), 400),
    "SPDY of another kind": (
        get(PODS + b"/web/exec?command=x&stdout=1", *SPDY, b"X-Stream-Protocol-Version: v9"),
        403,
    ),
    "SPDY where there is none": (get(b"/version", *SPDY), 200),
    "WebSocket where there is none": (get(b"/version", *WEBSOCKET), 200),
    "HTTP/2 upgrade": (get(b"/version", b"Upgrade: h2c", b"Connection: Upgrade"), 200),
}


async def answer_to(server, data: bytes) -> tuple[int, bytes]:
    """(code, body) of the first answer to bytes on a connection of their own."""
    reader, writer = await asyncio.open_unix_connection(str(server.socket), limit=1 << 20)
    try:
        async with asyncio.timeout(LIMIT):
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            return int(head.split()[1]), await reader.readexactly(int(length))
    finally:
        writer.close()


@pytest.fixture
async def server(make_server):
    """With one pod, `web`."""
    kubelet = HostKubelet()
    made = await make_server(kubelets=lambda node: kubelet)
    metadata = {"name": "web", "namespace": "default"}
    spec = {"nodeName": "node-1", "containers": [{"name": "main", "image": "x"}]}
    await made.local_client().create(kinds.PODS, {"metadata": metadata, "spec": spec})
    return made


async def test_each_is_answered(server):
    wrong = {}
    for name, (data, code) in CASES.items():
        found, body = await answer_to(server, data)
        answer = json.loads(body)
        is_status = answer.get("kind") == "Status" and answer["code"] == found and answer["message"]
        if found != code or (code >= 400 and not is_status):
            wrong[name] = (found, body)
    assert not wrong


@pytest.mark.parametrize("depth", [150, 250, 450, 990, 100_000])
async def test_depth(server, depth):
    """Where any structure is allowed: a custom resource."""
    definition = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": SCHEMA}],
        },
    }
    body = json.dumps(definition).encode()
    path = b"/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await answer_to(server, post(body, path=path)))[0] == 201
    things = b"/apis/example.com/v1/namespaces/default/things"
    inner = b'{"a":[' * (depth // 2) + b"1" + b"]}" * (depth // 2)
    async with asyncio.timeout(LIMIT):
        while (await answer_to(server, get(things)))[0] == 404:
            pass  # until the definition is served
    deep = b'{"metadata":{"name":"deep"},"spec":%b}' % inner
    code = 201 if depth < 200 else 400
    assert (await answer_to(server, post(deep, path=things)))[0] == code
    codes = set()
    for media, change in (
        (b"application/merge-patch+json", deep),
        (b"application/apply-patch+yaml", deep),
        (b"application/json-patch+json", b'[{"op":"add","path":"/spec/b","value":%b}]' % inner),
        (
            b"application/json-patch+json",
            b'[{"op":"copy","from":"/spec","path":"/spec%b/c"}]' % (b"/a/0" * 70),
        ),
    ):
        data = post(change, b"Content-Type: " + media, path=things + b"/deep?fieldManager=x")
        codes.add((await answer_to(server, data.replace(b"POST", b"PATCH", 1)))[0])
    assert codes <= ({200, 201, 400, 422} if code == 201 else {400, 404})
    assert (await answer_to(server, get(things)))[0] == 200


SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


async def test_a_hundred_megabytes(server):
    """Refused before they were read, whether their length was said or not; others go on."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for framing, block in ((b"Content-Length: 104857600", b" " * 65536), (CHUNKED, None)):
        reader, writer = await asyncio.open_unix_connection(str(server.socket))
        block = block or b"10000\r\n" + b" " * 65536 + b"\r\n"
        writer.write(get(MAPS, framing).replace(b"GET", b"POST"))
        async with asyncio.timeout(LIMIT):
            with contextlib.suppress(ConnectionError):  # it may have heard enough
                for _ in range(1600):
                    writer.write(block)
                    await writer.drain()
            assert b" 413 " in await reader.readline()
            assert (await answer_to(server, get(b"/version")))[0] == 200
        writer.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 40_000, f"{grown} KiB"


async def test_a_client_that_does_not_read_its_answer(server, monkeypatch):
    """It gets what fits into the socket's buffer, and then the end."""
    monkeypatch.setattr("netemu.apiserver.http.handler.SEND_SECONDS", 0)
    client = server.local_client()
    for number in range(8):
        made = {"metadata": {"name": f"m{number}", "namespace": "default"}}
        await client.create(kinds.CONFIG_MAPS, {**made, "data": {"x": "y" * 900_000}})
    reader, writer = await asyncio.open_unix_connection(str(server.socket), limit=1024)
    writer.write(get(MAPS))
    async with asyncio.timeout(LIMIT):
        assert (await answer_to(server, get(b"/version")))[0] == 200
        received = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                received += len(data)
    assert received < 7_200_000
    writer.close()


@pytest.mark.parametrize("start", [b"", b"G", b"GET /version HTTP/1.1\r\nHost: x\r\n"])
async def test_half_a_header(server, monkeypatch, start):
    monkeypatch.setattr("netemu.apiserver.http.sniff._HEADER_SECONDS", 0.1)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(start)
    async with asyncio.timeout(LIMIT):
        answer = await reader.read()
    assert (b" 408 " in answer and b'"kind":"Status"' in answer) == bool(start)
    writer.close()


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
async def test_http_on_a_port_with_tls(server, method):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = get(b"/version").replace(b"GET", method)
    for piece in (request[:3], request[3:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head == b"HTTP/1.0 400 Bad Request"
    assert body == b"Client sent an HTTP request to an HTTPS server.\n"
    writer.close()


@pytest.mark.parametrize("start", [b"", b"GE", b"\x16\x03\x01", b"\0\0\0\0\0\0\0\0", b"hello"])
async def test_no_handshake(server, monkeypatch, start):
    """The connection ends, others are served."""
    monkeypatch.setattr("netemu.apiserver.http.tlsdoor._HANDSHAKE_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(start)
    async with asyncio.timeout(LIMIT):
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await reader.read()
    writer.close()
    assert (await answer_to(server, get(b"/version")))[0] == 200


async def test_tls_in_pieces(server):
    """A handshake whose bytes come one by one, and a request in as many."""
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, to_send, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def through(step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                done = None
            for byte in to_send.read():
                writer.write(bytes([byte]))
                await writer.drain()
            if done is not None:
                return done
            received.write(await reader.read(65536))

    async with asyncio.timeout(LIMIT):
        await through(lambda: client.do_handshake() or True)
        await through(lambda: client.write(get(b"/version")))
        assert (await through(lambda: client.read(12))) == b"HTTP/1.1 200"
    writer.close()


@pytest.mark.parametrize("where", [b"http://a", b"https://a:6443", b"HTTP://[::1]:80"])
async def test_a_whole_url_as_target(server, where):
    """What clients send to a proxy: RFC 9112, 3.2.2."""
    assert (await answer_to(server, get(where + b"/version?a=/b")))[0] == 200
    code, body = await answer_to(server, get(where + PODS + b"?limit=1"))
    assert code == 200 and json.loads(body)["kind"] == "PodList"
    assert (await answer_to(server, get(where + PODS + b"/web")))[0] == 200
    exec_path = where + PODS + b"/no/exec?command=x&stdout=1"
    assert (await answer_to(server, get(exec_path, *SPDY)))[0] == 404
    assert b'pods \\"no\\"' in (await answer_to(server, get(exec_path, *SPDY)))[1]
    code, body = await answer_to(server, get(where))
    assert code == 200 and {"/version", "/api/v1", "/apis/apps/v1"} <= {*json.loads(body)["paths"]}


async def test_heads_of_documents(server):
    data = get(b"/healthz", b"Connection: close").replace(b"GET", b"HEAD")
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(data)
    async with asyncio.timeout(LIMIT):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200") and not body
