"""A PUT of what is not there: some kinds are created so, as upstream's strategies say."""

import asyncio
import json

from netemu.apiserver.server import ApiServer

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"


async def put(server: ApiServer, path: str, obj: dict, *fields: str) -> tuple[int, dict]:
    body = json.dumps(obj)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    lines = [f"PUT {path} HTTP/1.1", "Host: x", "Connection: close", *fields]
    writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_a_lease_is_created_then_updated(server) -> None:
    status, made = await put(server, LEASE, {"spec": {"holderIdentity": "x"}})
    assert status == 201 and made["metadata"]["name"] == "a"
    status, again = await put(server, LEASE, made | {"spec": {"holderIdentity": "y"}})
    assert status == 200 and again["spec"]["holderIdentity"] == "y"


async def test_other_kinds_and_old_objects_must_be_there(server) -> None:
    status, answer = await put(server, "/api/v1/namespaces/default/configmaps/a", {})
    assert (status, answer["reason"]) == (404, "NotFound")
    known = {"metadata": {"resourceVersion": "1", "uid": "x"}}
    assert (await put(server, LEASE, known))[0] == 404


async def test_who_may_only_update_creates_nothing(server, client) -> None:
    from netemu.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES

    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]}]
    await client.create(CLUSTER_ROLES, {"metadata": {"name": "updater"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "updater"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "x"}]
    binding = {"metadata": {"name": "u"}, "roleRef": reference, "subjects": subjects}
    await client.create(CLUSTER_ROLE_BINDINGS, binding)
    status, answer = await put(server, LEASE, {}, "Impersonate-User: x")
    assert status == 403 and "cannot create resource" in answer["message"]
