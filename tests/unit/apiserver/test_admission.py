"""What a new pod gets and what a namespace allows."""

import asyncio

import pytest

from netemu.api.kinds import (
    ALL,
    CONFIG_MAPS,
    LIMIT_RANGES,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
)
from netemu.apiserver.strategies.podadmission import TOKEN_PATH
from netemu.errors import ApiError

PRIORITY_CLASSES = next(kind for kind in ALL if kind.kind == "PriorityClass")


def pod(name="p", **spec):
    spec = {"containers": [{"name": "c", "image": "x"}]} | spec
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def refused(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value


async def test_the_account_and_its_token(client):
    made = await client.create(PODS, pod())
    assert made["spec"]["serviceAccountName"] == "default"
    (volume,) = made["spec"]["volumes"]
    sources = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert sources == ["serviceAccountToken", "configMap", "downwardAPI"]
    (mount,) = made["spec"]["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "readOnly": True, "mountPath": TOKEN_PATH}


async def test_no_token_for_those_who_refuse_it(client):
    made = await client.create(PODS, pod(automountServiceAccountToken=False))
    assert "volumes" not in made["spec"]
    account = {"metadata": {"name": "quiet", "namespace": "default"}}
    await client.create(SERVICE_ACCOUNTS, account | {"automountServiceAccountToken": False})
    made = await client.create(PODS, pod("q", serviceAccountName="quiet"))
    assert "volumes" not in made["spec"]


async def test_an_account_that_is_not_there(client):
    error = await refused(client.create(PODS, pod(serviceAccountName="nobody")))
    assert error.code == 403 and 'serviceaccount "nobody" not found' in error.message


async def test_priorities(client):
    made = await client.create(PODS, pod(priorityClassName="system-cluster-critical"))
    assert made["spec"]["priority"] == 2000000000
    made = await client.create(PODS, pod("b"))
    assert made["spec"]["priority"] == 0
    await client.create(
        PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 7, "globalDefault": True}
    )
    made = await client.create(PODS, pod("c"))
    assert (made["spec"]["priority"], made["spec"]["priorityClassName"]) == (7, "high")
    assert (await refused(client.create(PODS, pod("d", priorityClassName="none")))).code == 403


async def test_tolerations_for_lost_nodes(client):
    own = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 5}
    own["effect"] = "NoExecute"
    made = await client.create(PODS, pod(tolerations=[own]))
    seconds = {t["key"]: t["tolerationSeconds"] for t in made["spec"]["tolerations"]}
    assert seconds == {own["key"]: 5, "node.kubernetes.io/not-ready": 300}


async def test_limit_ranges_fill_in_and_refuse(client):
    limits = [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}]
    meta = {"name": "l", "namespace": "default"}
    await client.create(LIMIT_RANGES, {"metadata": meta, "spec": {"limits": limits}})
    made = await client.create(PODS, pod())
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1"}
    greedy = pod("g")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "3"}}
    error = await refused(client.create(PODS, greedy))
    assert error.code == 403 and "maximum cpu usage per Container is 2" in error.message


async def test_a_quota_is_never_exceeded_even_by_many_at_once(client):
    meta = {"name": "q", "namespace": "default"}
    hard = {"count/configmaps": "5"}
    await client.create(RESOURCE_QUOTAS, {"metadata": meta, "spec": {"hard": hard}})
    done = await asyncio.gather(
        *(
            client.create(CONFIG_MAPS, {"metadata": {"name": f"c{i}", "namespace": "default"}})
            for i in range(12)
        ),
        return_exceptions=True,
    )
    errors = [one for one in done if isinstance(one, ApiError)]
    assert len(errors) == 7 and all(error.code == 403 for error in errors)
    assert "exceeded quota: q" in errors[0].message
    quota = await client.get(RESOURCE_QUOTAS, "q", "default")
    assert quota["status"]["used"] == {"count/configmaps": "5"}


async def test_a_namespace_that_goes_takes_nothing_new(client):
    await client.create(NAMESPACES, {"metadata": {"name": "old"}})
    await client.delete(NAMESPACES, "old")
    gone = await client.get(NAMESPACES, "old")
    assert gone["status"]["phase"] == "Terminating"
    made = {"metadata": {"name": "x", "namespace": "old"}}
    error = await refused(client.create(CONFIG_MAPS, made))
    assert error.code == 403 and error.details["causes"][0]["reason"] == "NamespaceTerminating"
    await client.update(NAMESPACES, {**gone, "spec": {"finalizers": []}}, subresource="finalize")
    assert (await refused(client.get(NAMESPACES, "old"))).code == 404
