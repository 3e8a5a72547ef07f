"""401 without credentials, 403 without a role: for everything there is, and for what is not."""

import asyncio
import itertools
import re
import ssl
from contextlib import asynccontextmanager

import pytest

from netemu.aio import FakeClock
from netemu.api import kinds
from netemu.api.kind import CREATE_ONLY
from netemu.client.http import HttpClient
from netemu.errors import ApiError

MAPS, PODS, SECRETS = kinds.CONFIG_MAPS, kinds.PODS, kinds.SECRETS
VERBS = {"get": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
STREAMS = ("exec", "attach", "portforward", "proxy", "log")
READY = ("/healthz", "/livez", "/readyz", "/version", "/version/", "/livez?verbose")


@asynccontextmanager
async def over_tls(server, token=""):
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    made = HttpClient.url(f"https://localhost:{server.port}", tls=context, token=token)
    yield made
    await made.close()


@pytest.fixture
async def robot(client):
    """Makes the ServiceAccount default/robot and what is not to be seen."""
    await client.create(kinds.SERVICE_ACCOUNTS, named("robot"))
    await client.create(MAPS, named("there"))
    spec = {"serviceAccountName": "robot", "containers": [{"name": "main", "image": "x"}]}
    await client.create(PODS, {**named("there"), "spec": {**spec, "nodeName": "node-1"}})
    await client.create(SECRETS, named("bound"))
    return client


def named(name):
    return {"metadata": {"name": name, "namespace": "default"}}


def requests():
    """(method, path) of every verb of every kind and subresource, for an object called NAME."""
    for kind in kinds.ALL:
        own = re.match("selfsubject", kind.plural)
        if kind.verbs == CREATE_ONLY:
            if not own:
                yield "POST", kind.path("default")
            continue
        for space in ("default", "") if kind.namespaced else ("",):
            for method in ("GET", "POST", "DELETE"):
                yield method, kind.path(space)
            yield "GET", f"{kind.path(space)}?watch=true"
        for method in VERBS.values():
            yield method, kind.path("default", "NAME")
        for part, method in itertools.product(sorted(kind.subresources), ("GET", "POST", "PUT")):
            yield method, kind.path("default", "NAME", part)
    yield "GET", "/apis/nothing.example.com/v1/namespaces/default/things/NAME"
    yield "GET", "/api/v1/namespaces/nowhere/configmaps/NAME"
    yield "GET", "/api/v1/nodes/NAME/proxy/healthz"


async def refused(client, method, path):
    with pytest.raises(ApiError) as caught:
        await client.json(method, path, body={} if method != "GET" else None)
    return caught.value


async def test_without_credentials(server, robot):
    async with over_tls(server) as nobody:
        for method, path in requests():
            error = await refused(nobody, method, path)
            assert (error.code, error.message) == (401, "Unauthorized"), (method, path)


async def test_without_a_role_nothing_tells_what_exists(server, robot):
    token = server.token("default", "robot")["status"]["token"]
    async with over_tls(server, token) as client:
        for method, path in requests():
            there = await refused(client, method, path.replace("NAME", "there"))
            gone = await refused(client, method, path.replace("NAME", "gone"))
            assert there.code == gone.code == 403, (method, path, there.message)
            assert there.message.replace("there", "gone") == gone.message, (method, path)
            assert there.details.keys() == gone.details.keys()


async def status_of(server, token: str, method: str, path: str, *headers: str) -> int:
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    reader, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
    credentials = [f"Authorization: Bearer {token}"] if token else []
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *credentials, *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(60):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("protocol", ["SPDY/3.1", "websocket"])
@pytest.mark.parametrize("name", ["there", "gone"])
async def test_streams_ask_who_it_is_before_all_else(server, robot, protocol, name):
    token = server.token("default", "robot")["status"]["token"]
    upgrade = (f"Upgrade: {protocol}", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    for part in STREAMS:
        path = PODS.path("default", name, part) + "?command=x&stdout=true&ports=1"
        for method in ("GET", "POST"):
            assert await status_of(server, "", method, path, *upgrade) == 401
            assert await status_of(server, "wrong", method, path, *upgrade) == 401
            assert await status_of(server, token, method, path, *upgrade) == 403


async def test_anybody_may_ask_how_it_is(server):
    for path in READY:
        assert await status_of(server, "", "GET", path) == 200, path
    for path in ("/", "/api", "/apis", "/openapi/v2", "/metrics", "/healthz/etcd", "/livez/ping"):
        assert await status_of(server, "", "GET", path) == 401, path
    for path in ("/healthz", "/version"):
        assert await status_of(server, "", "POST", path) == 401, path


async def test_every_account_may_find_out_what_there_is(server, robot):
    token = server.token("default", "robot")["status"]["token"]
    for path in (*READY, "/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3"):
        assert await status_of(server, token, "GET", path) == 200, path
    for path in ("/", "/metrics", "/netemu/v1/progress", "/configz"):
        assert await status_of(server, token, "GET", path) == 403, path


def asked(**spec):
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def request_token(http, **spec):
    path = kinds.SERVICE_ACCOUNTS.path("default", "robot", "token")
    return await http.json("POST", path, body=asked(**spec))


async def review(http, token, *audiences):
    body = {"spec": {"token": token, "audiences": list(audiences)}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    return (await http.json("POST", path, body=body))["status"]


async def test_a_token_is_good_for_its_audiences(server, robot, http):
    made = await request_token(http, audiences=["vault", "bank"])
    token = made["status"]["token"]
    assert await status_of(server, token, "GET", "/api") == 401
    found = await review(http, token, "bank", "theatre")
    assert found["authenticated"] and found["audiences"] == ["bank"]
    assert found["user"]["username"] == "system:serviceaccount:default:robot"
    assert not (await review(http, token))["authenticated"]
    assert not (await review(http, token, "theatre"))["authenticated"]
    mine = (await request_token(http))["status"]["token"]
    assert await status_of(server, mine, "GET", "/api") == 200
    issuer = "https://kubernetes.default.svc.cluster.local"
    assert (await review(http, mine))["audiences"] == [issuer]


@pytest.mark.parametrize("seconds", [0, 599, -1, 2**33])
async def test_the_life_of_a_token_has_bounds(http, robot, seconds):
    if not seconds:  # which means the default
        assert (await request_token(http, expirationSeconds=0))["spec"]["expirationSeconds"] == 3600
        return
    with pytest.raises(ApiError) as caught:
        await request_token(http, expirationSeconds=seconds)
    assert caught.value.code == 422


async def test_a_token_expires(make_server):
    clock = FakeClock()
    server = await make_server(clock=clock)
    await server.local_client().create(kinds.SERVICE_ACCOUNTS, named("robot"))
    token = server.token("default", "robot", expirationSeconds=600)["status"]["token"]
    assert await status_of(server, token, "GET", "/api") == 200
    await clock.advance(599)
    assert await status_of(server, token, "GET", "/api") == 200
    await clock.advance(2)
    assert await status_of(server, token, "GET", "/api") == 401


@pytest.mark.parametrize("kind", [PODS, SECRETS])
async def test_a_bound_token_dies_with_what_it_is_bound_to(server, robot, http, kind):
    name = "there" if kind is PODS else "bound"
    reference = {"kind": kind.kind, "apiVersion": "v1", "name": name}
    made = await request_token(http, boundObjectRef=reference)
    token = made["status"]["token"]
    assert await status_of(server, token, "GET", "/api") == 200
    await robot.delete(kind, name, "default", grace_period_seconds=0)
    assert await status_of(server, token, "GET", "/api") == 401
    await robot.create(kind, {**named(name), **SPECS.get(kind.kind, {})})
    assert await status_of(server, token, "GET", "/api") == 401, "another of the same name"


SPECS = {
    "Pod": {"spec": {"serviceAccountName": "robot", "containers": [{"name": "main", "image": "x"}]}}
}


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ({"kind": "Pod", "name": "gone"}, 404),
        ({"kind": "Pod", "name": "there", "uid": "other"}, 409),
        ({"kind": "ConfigMap", "name": "there"}, 400),
    ],
)
async def test_what_a_token_cannot_be_bound_to(http, robot, reference, code):
    with pytest.raises(ApiError) as caught:
        await request_token(http, boundObjectRef=reference)
    assert caught.value.code == code
