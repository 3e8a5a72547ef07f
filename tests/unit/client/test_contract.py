"""What every API client promises (netemu/client/protocol.py)."""

import asyncio
from contextlib import aclosing

import pytest

from netemu.aio import spawn
from netemu.api.kind import Resource
from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.client.protocol import JSON_PATCH, ApiClient
from netemu.errors import ApiError


def config_map(name="one", **data):
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "data": data,
    }


def pod(name="web-0", node=""):
    spec = {"containers": [{"name": "c", "image": "nginx"}]} | ({"nodeName": node} if node else {})
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def refused(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value


async def next_of(events, count):
    return [await asyncio.wait_for(anext(events), 60) for _ in range(count)]


async def test_what_was_created_can_be_read(client: ApiClient):
    made = await client.create(CONFIG_MAPS, config_map(a="1"))
    assert made["apiVersion"] == "v1" and made["kind"] == "ConfigMap"
    assert made["metadata"]["uid"] and made["metadata"]["creationTimestamp"]
    assert await client.get(CONFIG_MAPS, "one", "default") == made
    listed = await client.list(CONFIG_MAPS, "default", labels="app=one")
    assert listed.items == [made]
    assert listed.revision >= int(made["metadata"]["resourceVersion"])


async def test_creating_does_not_touch_the_callers_object(client: ApiClient):
    mine = config_map()
    await client.create(CONFIG_MAPS, mine)
    assert mine == config_map()


async def test_errors_have_kubernetes_reasons_and_texts(client: ApiClient):
    await client.create(CONFIG_MAPS, config_map())
    error = await refused(client.get(CONFIG_MAPS, "two", "default"))
    assert (error.reason, error.code) == ("NotFound", 404)
    assert error.message == 'configmaps "two" not found'
    error = await refused(client.get(DEPLOYMENTS, "two", "default"))
    assert error.message == 'deployments.apps "two" not found'
    error = await refused(client.create(CONFIG_MAPS, config_map()))
    assert (error.reason, error.message) == ("AlreadyExists", 'configmaps "one" already exists')
    error = await refused(client.create(CONFIG_MAPS, config_map("Bad_Name")))
    assert error.reason == "Invalid" and error.details["causes"][0]["field"] == "metadata.name"
    error = await refused(
        client.create(CONFIG_MAPS, {"metadata": {"name": "x", "namespace": "nowhere"}})
    )
    assert (error.reason, error.message) == ("NotFound", 'namespaces "nowhere" not found')
    unknown = Resource(group="example.com", plural="things", kind="Thing")
    assert (await refused(client.list(unknown))).reason == "NotFound"


async def test_two_writers_of_one_revision_one_wins(client: ApiClient):
    made = await client.create(CONFIG_MAPS, config_map(a="1"))
    changed = {**made, "data": {"a": "2"}}
    done = await client.update(CONFIG_MAPS, changed)
    assert done["data"] == {"a": "2"}
    error = await refused(client.update(CONFIG_MAPS, {**made, "data": {"a": "3"}}))
    assert (error.reason, error.code) == ("Conflict", 409)
    assert error.message == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )


async def test_an_update_that_changes_nothing_is_not_written(client: ApiClient):
    made = await client.create(CONFIG_MAPS, config_map(a="1"))
    assert await client.update(CONFIG_MAPS, made) == made
    assert (await client.patch(CONFIG_MAPS, "one", "default", {"data": {"a": "1"}})) == made


async def test_concurrent_patches_all_take_effect(client: ApiClient):
    await client.create(CONFIG_MAPS, config_map())
    await asyncio.gather(
        *(client.patch(CONFIG_MAPS, "one", "default", {"data": {f"k{i}": "x"}}) for i in range(10))
    )
    assert len((await client.get(CONFIG_MAPS, "one", "default"))["data"]) == 10


async def test_json_patch_with_a_failing_test(client: ApiClient):
    await client.create(CONFIG_MAPS, config_map(a="1"))
    patch = [{"op": "replace", "path": "/data/a", "value": "2"}]
    done = await client.patch(CONFIG_MAPS, "one", "default", patch, content_type=JSON_PATCH)
    assert done["data"]["a"] == "2"
    patch = [{"op": "test", "path": "/data/a", "value": "1"}]
    error = await refused(
        client.patch(CONFIG_MAPS, "one", "default", patch, content_type=JSON_PATCH)
    )
    assert error.code == 422


async def test_status_and_spec_are_written_apart(client: ApiClient):
    made = await client.create(PODS, {**pod(), "status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"
    status = {**made, "spec": {}, "status": {"phase": "Running"}}
    done = await client.update(PODS, status, subresource="status")
    assert done["status"]["phase"] == "Running" and done["spec"] == made["spec"]
    assert done["metadata"]["generation"] == 1
    done = await client.patch(PODS, "web-0", "default", {"status": {"phase": "Failed"}})
    assert done["status"]["phase"] == "Running"


async def test_binding_gives_a_pod_its_node_once(client: ApiClient):
    await client.create(PODS, pod())
    binding = {
        "metadata": {"name": "web-0", "namespace": "default"},
        "target": {"kind": "Node", "name": "node-1"},
    }
    await client.update(PODS, binding, subresource="binding")
    bound = await client.get(PODS, "web-0", "default")
    assert bound["spec"]["nodeName"] == "node-1"
    assert [c["type"] for c in bound["status"]["conditions"]] == ["PodScheduled"]
    assert (await refused(client.update(PODS, binding, subresource="binding"))).code == 409


async def test_a_pod_on_a_node_goes_when_its_kubelet_says_so(client: ApiClient):
    made = await client.create(PODS, pod(node="node-1"))
    marked = await client.delete(PODS, "web-0", "default", grace_period_seconds=7)
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    assert marked["metadata"]["deletionTimestamp"]
    wrong = client.delete(PODS, "web-0", "default", uid="other", grace_period_seconds=0)
    assert (await refused(wrong)).reason == "Conflict"
    await client.delete(
        PODS, "web-0", "default", uid=made["metadata"]["uid"], grace_period_seconds=0
    )
    assert (await refused(client.get(PODS, "web-0", "default"))).reason == "NotFound"


async def test_a_pod_without_a_node_goes_at_once(client: ApiClient):
    await client.create(PODS, pod())
    await client.delete(PODS, "web-0", "default")
    assert (await client.list(PODS)).items == []


async def test_finalizers_hold_an_object(client: ApiClient):
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(CONFIG_MAPS, held)
    await client.delete(CONFIG_MAPS, "one", "default")
    there = await client.get(CONFIG_MAPS, "one", "default")
    assert there["metadata"]["deletionTimestamp"]
    await client.patch(CONFIG_MAPS, "one", "default", {"metadata": {"finalizers": None}})
    assert (await refused(client.get(CONFIG_MAPS, "one", "default"))).reason == "NotFound"


async def test_generated_names(client: ApiClient):
    base = {"metadata": {"generateName": "job-", "namespace": "default"}}
    made = await asyncio.gather(*(client.create(CONFIG_MAPS, base) for _ in range(20)))
    names = {one["metadata"]["name"] for one in made}
    assert len(names) == 20 and all(len(name) == 9 and name.startswith("job-") for name in names)


async def test_a_watch_replays_and_follows(client: ApiClient):
    start = (await client.list(CONFIG_MAPS)).revision
    made = await client.create(CONFIG_MAPS, config_map(a="1"))
    async with aclosing(client.watch(CONFIG_MAPS, revision=start)) as events:
        (first,) = await next_of(events, 1)
        assert (first.type, first.object) == ("ADDED", made)
        await client.patch(CONFIG_MAPS, "one", "default", {"data": {"a": "2"}})
        await client.delete(CONFIG_MAPS, "one", "default")
        changed, gone = await next_of(events, 2)
    assert (changed.type, changed.object["data"]) == ("MODIFIED", {"a": "2"})
    assert gone.type == "DELETED" and gone.revision > changed.revision > first.revision
    assert gone.object["metadata"]["resourceVersion"] == str(gone.revision)


async def test_objects_enter_and_leave_a_selection(client: ApiClient):
    start = (await client.list(CONFIG_MAPS)).revision
    async with aclosing(client.watch(CONFIG_MAPS, revision=start, labels="on=yes")) as events:
        await client.create(CONFIG_MAPS, config_map())
        for value in ("yes", "yes", None):
            patch = {"metadata": {"labels": {"on": value}}, "data": {"x": str(value) + "."}}
            await client.patch(CONFIG_MAPS, "one", "default", patch)
        await client.patch(CONFIG_MAPS, "one", "default", {"metadata": {"labels": {"on": "yes"}}})
        assert [event.type for event in await next_of(events, 3)] == ["ADDED", "DELETED", "ADDED"]


async def test_pods_of_one_node(client: ApiClient):
    start = (await client.list(PODS)).revision
    fields = "spec.nodeName=node-1"
    async with aclosing(client.watch(PODS, revision=start, fields=fields)) as events:
        await client.create(PODS, pod("other", "node-2"))
        await client.create(PODS, pod("mine", "node-1"))
        (event,) = await next_of(events, 1)
    assert event.object["metadata"]["name"] == "mine"
    listed = (await client.list(PODS, fields=fields)).items
    assert [one["metadata"]["name"] for one in listed] == ["mine"]
    error = await refused(client.list(PODS, fields="spec.colour=red"))
    assert error.code == 400 and "spec.colour" in error.message


async def test_a_watch_from_a_compacted_revision_has_expired(client: ApiClient, server: ApiServer):
    for i in range(3):
        await client.create(CONFIG_MAPS, config_map(f"n{i}"))
    await server.store.compact(server.store.revision)
    server.cache.of(CONFIG_MAPS).floor = server.store.revision
    with pytest.raises(ApiError) as caught:
        async with aclosing(client.watch(CONFIG_MAPS, revision=2)) as events:
            await next_of(events, 1)
    assert (caught.value.reason, caught.value.code) == ("Expired", 410)


async def test_a_barrier_waits_for_every_component(client: ApiClient):
    await client.create(NODES, {"metadata": {"name": "node-1"}})
    await client.report_progress("node-1/proxy", 1)
    error = await refused(client.barrier(timeout=0.05))
    assert error.reason == "Timeout" and "node-1/proxy" in error.message
    async with asyncio.TaskGroup() as group:
        waiting = spawn(group, client.barrier(timeout=60), name="barrier")
        await client.report_progress("node-1/proxy", (await client.list(NODES)).revision)
    done = waiting.result()
    assert done["components"]["node-1/proxy"] >= done["revision"]
    await client.report_progress("node-1/overlay", 1)
    await client.delete(NODES, "node-1")
    assert (await client.barrier(timeout=60))["components"] == {}


async def test_a_barrier_moves_idle_watches_on(client: ApiClient):
    start = (await client.list(SERVICES)).revision
    async with (
        aclosing(client.watch(SERVICES, revision=start)) as events,
        asyncio.TaskGroup() as group,
    ):
        pending = spawn(group, next_of(events, 1), name="next")
        await client.create(CONFIG_MAPS, config_map())
        while not pending.done():
            await client.barrier(timeout=60)
            await asyncio.sleep(0)
    (event,) = pending.result()
    assert event.type == "BOOKMARK" and event.revision > start


async def test_one_object_by_name(client: ApiClient):
    for name in ("one", "two"):
        await client.create(CONFIG_MAPS, config_map(name))
    for namespace in ("", "default"):
        listed = await client.list(CONFIG_MAPS, namespace, fields="metadata.name=one")
        assert [obj["metadata"]["name"] for obj in listed.items] == ["one"]
    assert (await client.list(CONFIG_MAPS, "kube-system", fields="metadata.name=one")).items == []
    assert (await client.list(CONFIG_MAPS, "default", fields="metadata.name=none")).items == []
