from netemu.api import discovery
from netemu.api.kinds import ALL, DEPLOYMENTS, EVENTS, PODS


def test_versions_in_order_of_preference() -> None:
    mixed = ["v1alpha1", "v1", "v2", "foo", "v1beta2", "v1beta1", "v10"]
    expected = ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]
    assert sorted(mixed, key=discovery.version_order) == expected


def test_groups() -> None:
    groups = discovery.group_list(ALL)["groups"]
    names = [group["name"] for group in groups]
    assert names[0] == "apps" and "" not in names and "events.k8s.io" in names
    apps = discovery.group(ALL, "apps")
    assert apps is not None
    assert apps["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert discovery.group(ALL, "nonsense") is None


def test_resources_with_the_hash_of_a_real_server() -> None:
    listed = discovery.resource_list([PODS, DEPLOYMENTS], "", "v1")
    assert listed is not None
    pods = listed["resources"][0]
    assert pods["storageVersionHash"] == "xPOwRZ+Yhw8="  # from Kubernetes 1.20's discovery
    assert pods["shortNames"] == ["po"] and pods["categories"] == ["all"]
    by_name = {entry["name"]: entry for entry in listed["resources"]}
    eviction = by_name["pods/eviction"]
    assert (eviction["group"], eviction["kind"], eviction["verbs"]) == (
        "policy",
        "Eviction",
        ["create"],
    )
    assert by_name["pods/exec"]["kind"] == "PodExecOptions"
    assert discovery.resource_list([PODS], "apps", "v1") is None


def test_scale_has_a_version_of_its_own() -> None:
    listed = discovery.resource_list([DEPLOYMENTS], "apps", "v1")
    assert listed is not None
    scale = next(entry for entry in listed["resources"] if entry["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


def test_aggregated() -> None:
    core = discovery.aggregated([PODS, EVENTS, DEPLOYMENTS], core=True)
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    (item,) = core["items"]
    assert [entry["resource"] for entry in item["versions"][0]["resources"]] == ["events", "pods"]
    others = discovery.aggregated([PODS, EVENTS, DEPLOYMENTS], core=False, version="v2beta1")
    assert [item["metadata"]["name"] for item in others["items"]] == ["apps", "events.k8s.io"]
    deployments = others["items"][0]["versions"][0]["resources"][0]
    assert deployments["scope"] == "Namespaced"
    assert [sub["subresource"] for sub in deployments["subresources"]] == ["scale", "status"]
