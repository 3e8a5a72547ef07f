"""Who comes in over TLS, as whom, and what he may do."""

import ssl
from contextlib import asynccontextmanager

import pytest
import yaml

from netemu.api.kinds import ALL, CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from netemu.apiserver.kubeconfig import write_kubeconfig
from netemu.client.http import HttpClient
from netemu.errors import ApiError

RBAC = {kind.kind: kind for kind in ALL if kind.group == "rbac.authorization.k8s.io"}
needs_rbac = pytest.mark.skipif(not RBAC, reason="the rbac kinds are not served")


@asynccontextmanager
async def over_tls(server, *, certificate=None, token="", headers=None):
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    if certificate:
        path = server.socket.parent / "client.pem"
        path.write_bytes(b"".join(certificate))
        context.load_cert_chain(path)
    made = HttpClient.url(f"https://localhost:{server.port}", tls=context, token=token)
    made._headers |= headers or {}
    yield made
    await made.close()


async def refusal(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value


async def test_without_credentials_nothing_is_told(server):
    async with over_tls(server) as client:
        for call in (
            client.list(PODS),
            client.get(PODS, "x", "default"),
            client.json("GET", "/nowhere"),
            client.json("GET", "/api"),
            client.json("POST", "/netemu/v1/progress", body={}),
        ):
            error = await refusal(call)
            assert (error.code, error.reason, error.message) == (
                401,
                "Unauthorized",
                "Unauthorized",
            )


@needs_rbac
async def test_everybody_may_ask_whether_it_is_well(server):
    async with over_tls(server) as client:
        assert (await client.json("GET", "/version"))["major"] == "1"


async def test_wrong_credentials_are_401_even_for_what_is_public(server):
    for token in ("wrong", "a.b.c"):
        async with over_tls(server, token=token) as client:
            assert (await refusal(client.json("GET", "/version"))).code == 401


async def test_a_certificate_of_the_cluster_names_its_user(server):
    async with over_tls(server, certificate=server.pki.client("me", ["system:masters"])) as client:
        assert (await client.list(PODS)).items == []
    async with over_tls(server, certificate=server.pki.client("me", ["guests"])) as client:
        error = await refusal(client.list(PODS, "default"))
    assert (error.code, error.message) == (
        403,
        'pods is forbidden: User "me" cannot list resource "pods" in API group "" in the '
        'namespace "default"',
    )


async def test_a_foreign_certificate_is_refused_by_tls(server, tmp_path):
    from netemu.apiserver.auth.pki import Pki

    foreign = Pki(tmp_path).client("me", ["system:masters"])
    async with over_tls(server, certificate=foreign) as client:
        with pytest.raises((ssl.SSLError, OSError, EOFError)):
            await client.list(PODS)


async def account_token(server, client, name="robot"):
    made = {"metadata": {"name": name, "namespace": "default"}}
    await client.create(SERVICE_ACCOUNTS, made)
    return server.token("default", name)["status"]["token"]


async def test_a_service_account_without_a_role_may_nothing_and_learns_nothing(server, client):
    await client.create(CONFIG_MAPS, {"metadata": {"name": "there", "namespace": "default"}})
    async with over_tls(server, token=await account_token(server, client)) as robot:
        there = await refusal(robot.get(CONFIG_MAPS, "there", "default"))
        absent = await refusal(robot.get(CONFIG_MAPS, "gone", "default"))
        assert there.code == absent.code == 403
        assert there.message.replace("there", "gone") == absent.message
        assert 'User "system:serviceaccount:default:robot"' in there.message


async def test_a_token_dies_with_its_account(server, client):
    token = await account_token(server, client)
    await client.delete(SERVICE_ACCOUNTS, "robot", "default")
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "default"}})
    async with over_tls(server, token=token) as robot:
        assert (await refusal(robot.list(PODS))).code == 401


def names(name):
    """A rule for one ConfigMap."""
    return {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["get"],
        "resourceNames": [name],
    }


@needs_rbac
async def test_a_role_opens_just_what_it_says(server, client):
    token = await account_token(server, client)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    role = {"metadata": {"name": "reader", "namespace": "default"}, "rules": rules}
    await client.create(RBAC["Role"], role)
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    reference = {"apiGroup": group, "kind": "Role", "name": "reader"}
    await client.create(
        RBAC["RoleBinding"],
        {
            "metadata": {"name": "robot-reads", "namespace": "default"},
            "roleRef": reference,
            "subjects": [subject],
        },
    )
    async with over_tls(server, token=token) as robot:
        assert (await robot.list(CONFIG_MAPS, "default")).items == []
        assert (await refusal(robot.list(CONFIG_MAPS))).code == 403
        there = {"metadata": {"name": "there", "namespace": "default"}}
        await client.create(CONFIG_MAPS, there)
        assert await robot.get(CONFIG_MAPS, "there", "default")
        await client.patch(RBAC["Role"], "reader", "default", {"rules": [names("there")]})
        assert await robot.get(CONFIG_MAPS, "there", "default")
        await client.patch(RBAC["Role"], "reader", "default", {"rules": [names("other")]})
        assert (await refusal(robot.get(CONFIG_MAPS, "there", "default"))).code == 403
        made = {"metadata": {"name": "x", "namespace": "default"}}
        assert (await refusal(robot.create(CONFIG_MAPS, made))).code == 403
        assert (await robot.json("GET", "/api"))["versions"] == ["v1"]


@needs_rbac
async def test_nobody_gives_rights_that_he_lacks(server, client):
    token = await account_token(server, client)
    group = "rbac.authorization.k8s.io"
    who = [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]
    rules = [
        {"apiGroups": [group], "resources": ["roles", "rolebindings"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]
    meta = {"name": "manager", "namespace": "default"}
    await client.create(RBAC["Role"], {"metadata": meta, "rules": rules[:1] + rules[1:]})
    reference = {"apiGroup": group, "kind": "Role", "name": "manager"}
    binding = {"metadata": meta, "roleRef": reference, "subjects": who}
    await client.create(RBAC["RoleBinding"], binding)

    def role(name, verb, resource="pods"):
        rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
        return {"metadata": {"name": name, "namespace": "default"}, "rules": [rule]}

    robot_rules = [{"apiGroups": [group], "resources": ["roles", "rolebindings"], "verbs": []}]
    for verb in ("create", "get", "patch", "update"):
        robot_rules[0]["verbs"].append(verb)
    await client.update(RBAC["Role"], {"metadata": meta, "rules": robot_rules + rules[1:]})
    async with over_tls(server, token=token) as robot:
        await robot.create(RBAC["Role"], role("fine", "get"))
        for wrong in (role("a", "delete"), role("b", "get", "secrets"), role("c", "*", "*")):
            error = await refusal(robot.create(RBAC["Role"], wrong))
            assert error.code == 403 and "permissions not currently held" in error.message
        more = {"rules": role("x", "delete")["rules"]}
        assert (await refusal(robot.patch(RBAC["Role"], "fine", "default", more))).code == 403
        admin = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
        bind = {
            "metadata": {"name": "up", "namespace": "default"},
            "roleRef": admin,
            "subjects": who,
        }
        assert (await refusal(robot.create(RBAC["RoleBinding"], bind))).code == 403


async def test_impersonation_needs_the_right_to_it(server):
    admin = server.pki.client("me", ["system:masters"])
    async with over_tls(server, certificate=admin, headers={"Impersonate-User": "other"}) as client:
        error = await refusal(client.list(PODS))
        assert error.code == 403 and 'User "other"' in error.message
    async with over_tls(
        server, token="somebody", headers={"Impersonate-User": "system:admin"}
    ) as client:
        error = await refusal(client.list(PODS))
        assert "cannot impersonate" in error.message


async def test_the_unix_socket_is_for_root_only(server):
    assert server.socket.stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_is_for_its_owner_only(tmp_path):
    path = tmp_path / "sub" / "config"
    write_kubeconfig(path, "x: 1\n")
    write_kubeconfig(path, "x: 2\n")
    assert path.stat().st_mode & 0o777 == 0o600 and yaml.safe_load(path.read_text()) == {"x": 2}


async def test_keys_are_for_their_owner_and_kept(server):
    directory = server.pki.directory
    for path in directory.iterdir():
        assert path.suffix == ".crt" or path.stat().st_mode & 0o777 == 0o600
    from netemu.apiserver.auth.pki import Pki

    assert Pki(directory).ca_pem == server.pki.ca_pem
