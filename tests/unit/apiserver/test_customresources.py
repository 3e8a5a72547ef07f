"""CustomResourceDefinitions: from the definition to a served kind, and back."""

import asyncio
from contextlib import aclosing

import pytest

from netemu.api.kind import Resource
from netemu.api.kinds import ALL, CONFIG_MAPS
from netemu.apiserver.pipeline.context import Options
from netemu.apiserver.pipeline.create import create
from netemu.errors import ApiError

CRDS = next(kind for kind in ALL if kind.kind == "CustomResourceDefinition")
THINGS = Resource(group="example.com", version="v1", plural="things", kind="Thing")
THINGS_2 = Resource(group="example.com", version="v2", plural="things", kind="Thing")


def definition(**properties):
    size = {"type": "integer", "default": 3, "maximum": 10}
    replicas = {"type": "integer"}
    spec = {"type": "object", "properties": {"size": size, "replicas": replicas} | properties}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    version = {
        "served": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": [column],
    }
    return {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [
                version | {"name": "v1", "storage": True},
                version | {"name": "v2", "storage": False},
            ],
        },
    }


def thing(name="a", **spec):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def refused(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value


async def gone(client, resource, name):
    """Wait until the object is deleted, or was since the beginning."""
    async with asyncio.timeout(60), aclosing(client.watch(resource, revision=1)) as events:
        async for event in events:
            if event.type == "DELETED" and event.object["metadata"]["name"] == name:
                return


async def test_a_definition_is_served_at_once(client, http):
    assert (await refused(client.list(THINGS))).code == 404
    made = await client.create(CRDS, definition())
    assert {c["type"] for c in made["status"]["conditions"]} == {"NamesAccepted", "Established"}
    await http.create(THINGS, thing(size=4, bogus=1))
    found = await http.get(THINGS_2, "a", "default")
    assert found["apiVersion"] == "example.com/v2" and found["spec"] == {"size": 4}
    assert (await client.create(THINGS, thing("b")))["spec"] == {"size": 3}
    error = await refused(http.create(THINGS, thing("c", size=11)))
    assert error.code == 422 and "spec.size" in error.message
    error = await refused(http.create(THINGS, thing("c", size="large")))
    assert error.code in (400, 422)


async def test_it_is_found_and_shown(client, http):
    await client.create(CRDS, definition())
    await client.create(THINGS, thing(size=7))
    listed = await http.json("GET", "/apis/example.com/v1")
    assert {r["name"] for r in listed["resources"]} == {"things", "things/status", "things/scale"}
    document = await http.json("GET", "/openapi/v3/apis/example.com/v1")
    assert any("things" in path for path in document["paths"])
    response = await http.request(
        "GET",
        "/apis/example.com/v1/things",
        accept="application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    assert b'"Size"' in await response.read()
    http.finish(response)


async def test_status_and_scale_are_subresources(client):
    await client.create(CRDS, definition())
    made = await client.create(THINGS, {**thing(replicas=1), "status": {"replicas": 9}})
    assert "status" not in made
    await client.update(THINGS, {**made, "status": {"replicas": 1}}, subresource="status")
    scaled = await client.patch(
        THINGS, "a", "default", {"spec": {"replicas": 5}}, subresource="scale"
    )
    assert (scaled["spec"]["replicas"], scaled["status"]["replicas"]) == (5, 1)
    assert (await client.get(THINGS, "a", "default"))["spec"]["replicas"] == 5


async def test_strategic_patches_are_not_for_custom_resources(client, http):
    await client.create(CRDS, definition())
    await client.create(THINGS, thing())
    error = await refused(
        http.patch(
            THINGS, "a", "default", {}, content_type="application/strategic-merge-patch+json"
        )
    )
    assert error.code == 415


async def test_a_changed_definition_holds_for_the_next_request(client, http):
    made = await client.create(CRDS, definition())
    await http.create(THINGS, thing("a", colour="red"))
    changed = definition(colour={"type": "string"})
    await client.update(CRDS, {**changed, "metadata": made["metadata"]})
    await http.create(THINGS, thing("b", colour="red"))
    assert "colour" not in (await http.get(THINGS, "a", "default"))["spec"]
    assert (await http.get(THINGS, "b", "default"))["spec"]["colour"] == "red"


async def test_deleting_the_definition_deletes_its_objects(client, server):
    await client.create(CRDS, definition())
    await client.create(THINGS, thing("a"))
    held = thing("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(THINGS, held)
    await client.delete(CRDS, "things.example.com")
    await gone(client, THINGS, "a")
    assert (await client.get(CRDS, "things.example.com"))["metadata"]["deletionTimestamp"]
    await client.patch(THINGS, "held", "default", {"metadata": {"finalizers": None}})
    await gone(client, CRDS, "things.example.com")
    assert (await refused(client.list(THINGS))).code == 404


async def test_definitions_are_known_after_a_restart(make_server):
    first = await make_server()
    client = first.local_client()
    await client.create(CRDS, definition())
    await client.create(THINGS, thing("a"))
    again = (await make_server(store=first.store)).local_client()
    assert [one["metadata"]["name"] for one in (await again.list(THINGS)).items] == ["a"]


async def test_a_group_version_that_is_served_already_is_refused(client):
    clash = definition()
    clash["metadata"]["name"] = "deployments.apps"
    clash["spec"]["group"] = "apps"
    clash["spec"]["names"] = {"plural": "deployments", "kind": "Deployment"}
    assert (await refused(client.create(CRDS, clash))).code == 422
    assert (await client.list(CONFIG_MAPS)).items == []


async def test_rules_in_cel_are_kept_and_bad_ones_refused(client, http):
    def ruled(*found):
        size = {"type": "integer", "x-kubernetes-validations": [{"rule": rule} for rule in found]}
        return definition(size=size)

    reason = (await refused(client.create(CRDS, ruled("self ++ 1")))).message
    assert "x-kubernetes-validations[0].rule" in reason and "compilation failed" in reason
    await client.create(CRDS, ruled("self >= oldSelf", "self < 100"))
    await client.create(THINGS, thing(size=5))
    assert (
        "failed rule: self < 100"
        in (await refused(client.create(THINGS, thing("b", size=100)))).message
    )
    change = client.patch(THINGS, "a", "default", {"spec": {"size": 4}})
    assert "failed rule: self >= oldSelf" in (await refused(change)).message
    await client.patch(THINGS, "a", "default", {"spec": {"size": 6}})


async def test_rules_that_are_not_evaluated_are_told(server, client):
    rule = {"rule": "quantity(string(self)).isGreaterThan(quantity('1'))"}
    made = definition(size={"type": "integer", "x-kubernetes-validations": [rule]})
    options = Options(field_validation="Warn")
    kind = server.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    await create(server.context, kind, "", made, options)
    assert len(options.warnings) == 2  # a version each
    assert (
        "is not evaluated: no support for function isGreaterThan, quantity" in options.warnings[0]
    )
    await client.create(THINGS, thing(size=0))


async def test_a_conversion_that_is_not_done_is_told(server):
    made = definition()
    made["spec"]["conversion"] = {"strategy": "Webhook"}
    options = Options(field_validation="Warn")
    kind = server.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    await create(server.context, kind, "", made, options)
    assert [w for w in options.warnings if "webhooks are not called" in w]
    wrong = definition()
    wrong["metadata"]["name"], wrong["spec"]["names"] = (
        "r.example.com",
        {"plural": "r", "kind": "R"},
    )
    wrong["spec"]["conversion"] = {"strategy": "Magic"}
    error = await refused(create(server.context, kind, "", wrong, options))
    assert 'spec.conversion.strategy: Unsupported value: "Magic"' in error.message
