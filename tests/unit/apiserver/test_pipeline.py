"""What the pipeline promises beyond create, read, update: dry runs, ownership, deletes, budgets."""

import asyncio

import pytest

from netemu.api.kinds import (
    ALL,
    CONFIG_MAPS,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    LEASES,
    POD_DISRUPTION_BUDGETS,
    PODS,
)
from netemu.apiserver.pipeline.context import Options
from netemu.apiserver.pipeline.patch import patch_object
from netemu.client.protocol import APPLY_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from netemu.errors import ApiError

LABELS = {"app": "web"}


def deployment(replicas=2, image="nginx:1"):
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template},
    }


async def refused(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value


async def test_a_dry_run_answers_and_does_nothing(client, http, server):
    before = server.store.revision
    path = "/apis/apps/v1/namespaces/default/deployments"
    shown = await http.json("POST", path, params={"dryRun": "All"}, body=deployment())
    assert shown["metadata"]["uid"] and shown["spec"]["revisionHistoryLimit"] == 10
    assert server.store.revision == before
    await client.create(DEPLOYMENTS, deployment())
    before = server.store.revision
    patch = {"spec": {"replicas": 7}}
    for method, more in (("PATCH", {"body": patch}), ("DELETE", {})):
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        await http.json(method, f"{path}/web", params={"dryRun": "All"}, content_type=media, **more)
    assert server.store.revision == before
    assert (await client.get(DEPLOYMENTS, "web", "default"))["spec"]["replicas"] == 2


async def test_the_generation_counts_changes_of_the_spec_only(client):
    made = await client.create(DEPLOYMENTS, deployment())
    assert made["metadata"]["generation"] == 1
    labelled = await client.patch(
        DEPLOYMENTS, "web", "default", {"metadata": {"labels": {"x": "y"}}}
    )
    assert labelled["metadata"]["generation"] == 1
    scaled = await client.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2
    done = await client.update(
        DEPLOYMENTS, {**scaled, "status": {"replicas": 3}}, subresource="status"
    )
    assert done["metadata"]["generation"] == 2


async def test_server_side_apply_creates_changes_and_conflicts(client, http):
    async def apply(config, manager, **more):
        return await http.patch(
            DEPLOYMENTS,
            "web",
            "default",
            config,
            content_type=APPLY_PATCH,
            params={"fieldManager": manager} | more,
        )

    first = await apply(deployment(), "one")
    assert [entry["manager"] for entry in first["metadata"]["managedFields"]] == ["one"]
    assert await apply(deployment(), "one") == first
    error = await refused(apply(deployment(replicas=5), "two"))
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.details["causes"][0] == {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "one"',
        "field": ".spec.replicas",
    }
    forced = await apply(deployment(replicas=5), "two", force="true")
    assert forced["spec"]["replicas"] == 5
    error = await refused(apply(deployment(replicas=6), "one"))
    assert error.code == 409
    without = deployment()
    del without["spec"]["replicas"]
    left = await apply(without, "one")
    assert left["spec"]["replicas"] == 5
    assert (await refused(apply(deployment(), ""))).code == 422


async def test_updates_take_over_what_they_change(http):
    await http.create(DEPLOYMENTS, deployment())
    await http.patch(
        DEPLOYMENTS,
        "web",
        "default",
        {"spec": {"replicas": 9}},
        params={"fieldManager": "scaler"},
    )
    found = await http.get(DEPLOYMENTS, "web", "default")
    owners = {entry["manager"]: entry["fieldsV1"] for entry in found["metadata"]["managedFields"]}
    assert "f:replicas" in owners["scaler"]["f:spec"]
    assert "f:replicas" not in owners["tests"]["f:spec"]


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)],
)
async def test_propagation_policies(client, policy, finalizers):
    await client.create(DEPLOYMENTS, deployment())
    gone = await client.delete(DEPLOYMENTS, "web", "default", propagation_policy=policy)
    if finalizers is None:
        assert (await refused(client.get(DEPLOYMENTS, "web", "default"))).code == 404
        return
    assert gone["metadata"]["finalizers"] == finalizers
    assert gone["metadata"]["deletionTimestamp"]
    await client.patch(DEPLOYMENTS, "web", "default", {"metadata": {"finalizers": None}})
    assert (await refused(client.get(DEPLOYMENTS, "web", "default"))).code == 404


async def test_delete_collection_by_labels(client, http):
    for number in range(4):
        meta = {"name": f"c{number}", "namespace": "default", "labels": {"odd": str(number % 2)}}
        await client.create(CONFIG_MAPS, {"metadata": meta})
    path = "/api/v1/namespaces/default/configmaps"
    gone = await http.json("DELETE", path, params={"labelSelector": "odd=1"})
    assert [item["metadata"]["name"] for item in gone["items"]] == ["c1", "c3"]
    assert len((await client.list(CONFIG_MAPS)).items) == 2


async def test_a_budget_lets_one_go_and_not_two(client, http):
    for name in ("a", "b"):
        pod = {"metadata": {"name": name, "namespace": "default", "labels": LABELS}}
        spec = {"nodeName": "node-1", "containers": [{"name": "c", "image": "x"}]}
        made = await client.create(PODS, pod | {"spec": spec})
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await client.update(PODS, {**made, "status": ready}, subresource="status")
    made = await client.create(
        POD_DISRUPTION_BUDGETS,
        {
            "metadata": {"name": "budget", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}},
        },
    )
    status = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
    }
    await client.update(POD_DISRUPTION_BUDGETS, {**made, "status": status}, subresource="status")

    async def evict(name):
        eviction = {"metadata": {"name": name, "namespace": "default"}}
        return await http.update(PODS, eviction, subresource="eviction")

    done = await asyncio.gather(evict("a"), evict("b"), return_exceptions=True)
    errors = [one for one in done if isinstance(one, ApiError)]
    assert [error.code for error in errors] == [429]
    assert "disruption budget" in errors[0].message


async def test_a_kind_in_an_older_version(http):
    v1 = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "default"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "targetCPUUtilizationPercentage": 50,
        },
    }
    path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    made = await http.json("POST", path, body=v1)
    assert made["apiVersion"] == "autoscaling/v1"
    assert made["spec"]["targetCPUUtilizationPercentage"] == 50
    newer = await http.get(HORIZONTAL_POD_AUTOSCALERS, "h", "default")
    assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    patched = await http.json(
        "PATCH",
        f"{path}/h",
        body={"spec": {"targetCPUUtilizationPercentage": 70}},
        content_type="application/merge-patch+json",
    )
    assert patched["spec"]["targetCPUUtilizationPercentage"] == 70


async def test_field_validation(http):
    path = "/apis/apps/v1/namespaces/default/deployments"
    wrong = deployment()
    wrong["spec"]["replicass"] = 3
    error = await refused(http.json("POST", path, params={"fieldValidation": "Strict"}, body=wrong))
    assert error.code == 400 and 'unknown field "spec.replicass"' in error.message
    response = await http.request("POST", path, body=wrong)
    made = await response.read()
    http.finish(response)
    assert 'unknown field \\"spec.replicass\\"' in response.headers["warning"]
    assert b"replicass" not in made


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"replicass": 3}, 'strict decoding error: unknown field "spec.replicass"'),
        ({"replicas": "three"}, "json: cannot unmarshal string into Go struct field"),
    ],
)
async def test_a_patch_that_makes_no_object_is_invalid(http, field, why):
    path = "/apis/apps/v1/namespaces/default/deployments"
    name = (await http.json("POST", path, body=deployment()))["metadata"]["name"]
    for content_type in (MERGE_PATCH, STRATEGIC_MERGE_PATCH):
        error = await refused(
            http.json(
                "PATCH",
                f"{path}/{name}",
                params={"fieldValidation": "Strict"},
                body={"spec": field},
                content_type=content_type,
            )
        )
        assert (error.code, error.reason) == (422, "Invalid")
        assert error.message.startswith(' "" is invalid: patch: Invalid value: "{')
        assert why in error.message
        assert error.details["causes"][0]["field"] == "patch"


async def test_protobuf_and_yaml_bodies(http):
    text = b"metadata:\n  name: y\ndata: {when: 2026-01-01, flag: 'yes'}\n"
    path = "/api/v1/namespaces/default/configmaps"
    error = await refused(http.json("POST", path, body=b"data: 1", content_type="text/plain"))
    assert error.code == 400
    made = await http.json("POST", path, body=text, content_type="application/yaml")
    assert made["data"] == {"when": "2026-01-01", "flag": "yes"}


async def test_debug_containers_and_resizes_change_nothing_else(client, http):
    pod = {"metadata": {"name": "p", "namespace": "default"}}
    made = await client.create(PODS, pod | {"spec": {"containers": [{"name": "c", "image": "x"}]}})
    debug = {"name": "d", "image": "busybox"}
    patch = {"spec": {"ephemeralContainers": [debug], "nodeName": "stolen"}}
    done = await http.patch(PODS, "p", "default", patch, subresource="ephemeralcontainers")
    assert done["spec"]["ephemeralContainers"][0]["name"] == "d"
    assert "nodeName" not in done["spec"]
    resources = {"requests": {"cpu": "1"}}
    patch = {"spec": {"containers": [{"name": "c", "image": "other", "resources": resources}]}}
    done = await http.patch(PODS, "p", "default", patch, subresource="resize")
    assert done["spec"]["containers"][0]["resources"] == resources
    assert done["spec"]["containers"][0]["image"] == "x"
    assert done["metadata"]["generation"] > made["metadata"]["generation"]


async def test_a_resize_says_that_it_takes_a_restart(client, server):
    pod = {"metadata": {"name": "p", "namespace": "default"}}
    await client.create(PODS, pod | {"spec": {"containers": [{"name": "c", "image": "x"}]}})
    body = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}
    options = Options(field_validation="Warn")
    where = (server.context, PODS, "default", "p", body, STRATEGIC_MERGE_PATCH, options)
    await patch_object(*where, subresource="resize")
    assert [text.partition(":")[0] for text in options.warnings] == ["resize"]


async def test_an_update_without_a_revision_where_one_is_needed(client):
    lease = {"metadata": {"name": "l", "namespace": "kube-system"}, "spec": {}}
    await client.create(LEASES, lease)
    if not LEASES.unconditional_update:
        assert (await refused(client.update(LEASES, lease))).code == 422


async def test_a_listener_that_fails_does_not_stop_the_server(client, server, caplog):
    def broken(kind, change):
        raise RuntimeError("a defect")

    server.cache.on_change(broken)
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    assert (await client.get(CONFIG_MAPS, "a", "default"))["metadata"]["name"] == "a"
    assert "a listener failed" in caplog.text


async def test_debug_containers_and_resizes_must_be_valid(client, http):
    spec = {"containers": [{"name": "c", "image": "nginx"}]}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})

    async def refused(subresource: str, spec: dict) -> str:
        with pytest.raises(ApiError) as raised:
            await http.patch(PODS, "p", "default", {"spec": spec}, subresource=subresource)
        assert raised.value.reason == "Invalid"
        return str(raised.value)

    debug = {"name": "d", "image": "busybox"}
    wrong = [{**debug, "name": "No Name"}]
    assert "spec.ephemeralContainers[0].name" in await refused(
        "ephemeralcontainers", {"ephemeralContainers": wrong}
    )
    part = {"ephemeralContainers": [debug]}
    done = await http.patch(PODS, "p", "default", {"spec": part}, subresource="ephemeralcontainers")
    assert done["spec"]["ephemeralContainers"][0]["terminationMessagePath"]
    again = await http.patch(
        PODS, "p", "default", {"spec": done["spec"]}, subresource="ephemeralcontainers"
    )
    assert again["spec"] == done["spec"]
    changed = {"ephemeralContainers": [{**debug, "image": "other"}]}
    assert "may not be changed" in await refused("ephemeralcontainers", changed)
    little = {"containers": [{"name": "c", "resources": {"limits": {"cpu": "-1"}}}]}
    assert "must be greater than or equal to 0" in await refused("resize", little)


async def test_an_update_without_a_revision_is_refused_in_go_words(http):
    lease = {"metadata": {"name": "l", "namespace": "default"}, "spec": {"holderIdentity": "x"}}
    made = await http.create(LEASES, lease)
    del made["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="Invalid value: 0x0: must be specified for an update"):
        await http.update(LEASES, made)


@pytest.mark.parametrize(
    "kind", ["PodDisruptionBudget", "ResourceQuota", "LimitRange", "Lease", "Node", "CSINode"]
)
async def test_a_spec_is_always_there(client, http, kind):
    """As upstream's objects have it; controllers count on it."""
    found = next(one for one in ALL if one.kind == kind)
    bare = {"metadata": {"name": "x", **({"namespace": "default"} if found.namespaced else {})}}
    made = await http.json("POST", found.path("default"), body=bare)
    assert made["spec"] == {}
    labelled = {**bare, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    path = found.path("default", "x")
    changed = await http.json("PUT", path, body=labelled)
    assert changed["spec"] == {}
    assert changed["metadata"].get("generation") == made["metadata"].get("generation")
