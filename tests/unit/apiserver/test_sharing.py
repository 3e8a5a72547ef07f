"""A pod's binding and status share parts with the pod as it was: what others hold never changes."""

from __future__ import annotations

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import PODS
from netemu.apiserver.local import LocalClient
from netemu.client.protocol import MERGE_PATCH

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "nginx:1"}]},
}


async def bound(client: LocalClient) -> Object:
    binding = {"metadata": {"name": "web", "namespace": "default"}, "target": {"name": "node-1"}}
    await client.update(PODS, binding, subresource="binding")
    return await client.get(PODS, "web", "default")


async def test_what_was_read_before_stays_as_it_was(client: LocalClient) -> None:
    held = [await client.create(PODS, meta.copy(POD)), await bound(client)]
    for phase in ("Pending", "Running"):
        held.append(await say(client, {"phase": phase, "conditions": [ready(phase == "Running")]}))
        copies = [meta.copy(each) for each in held]
        labels = {"metadata": {"labels": {"phase": phase}, "annotations": {"a": phase}}}
        await client.patch(PODS, "web", "default", labels)
        assert held == copies
    assert [each["spec"].get("nodeName") for each in held] == [None, *["node-1"] * 3]
    assert len({each["metadata"]["resourceVersion"] for each in held}) == 4
    assert len({each["metadata"]["uid"] for each in held}) == 1


async def say(client: LocalClient, status: Object) -> Object:
    return await client.patch(
        PODS, "web", "default", {"status": status}, content_type=MERGE_PATCH, subresource="status"
    )


def ready(value: bool) -> Object:
    return {"type": "Ready", "status": str(value), "lastTransitionTime": "2026-11-20T10:00:00Z"}


async def test_a_status_patch_changes_no_more_than_the_status(client: LocalClient) -> None:
    await client.create(PODS, meta.copy(POD))
    before = await bound(client)
    patch = {"spec": {"nodeName": "node-2"}, "status": {"phase": "Running"}}
    after = await client.patch(PODS, "web", "default", patch, subresource="status")
    assert after["spec"] == before["spec"]
    assert after["status"] == {**before["status"], "phase": "Running"}
    assert after == await client.get(PODS, "web", "default")
