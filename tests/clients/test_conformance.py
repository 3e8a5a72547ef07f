"""What conformance specs do that only a suite newer than Debian's has; see scripts/conformance.

Nine of the fourteen `[sig-network] … [Conformance]` specs that need objects only. Each test does
the steps of its spec with the official Python client, as upstream's test/e2e/network has them.
https://github.com/kubernetes/kubernetes/tree/v1.35.0/test/e2e/network
"""

import contextlib
import threading

import pytest

kubernetes = pytest.importorskip("kubernetes")
from kubernetes import client, watch  # noqa: E402

SECONDS = 60


@pytest.fixture
def discovery(api):
    return client.DiscoveryV1Api(api)


@pytest.fixture
def networking(api):
    return client.NetworkingV1Api(api)


@pytest.fixture
def space(core, request):
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:60].rstrip("-")
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def events(call, *args, until, since="", **more):
    """Events of a watch from `since` on, up to the one that `until` is true for."""
    found = []
    for event in watch.Watch().stream(
        call, *args, resource_version=since, timeout_seconds=SECONDS, **more
    ):
        found.append((event["type"], event["object"]))
        if until(*found[-1]):
            return found
    raise AssertionError(f"it did not happen; seen: {[(t, o.metadata.name) for t, o in found]}")


def gone(read, *args):
    """Whether a read says 404."""
    with contextlib.suppress(client.ApiException):
        read(*args)
        return False
    return True


def until_gone(read, *args):
    waiting = threading.Event()
    for _ in range(SECONDS * 20):
        if gone(read, *args):
            return
        waiting.wait(0.05)
    raise AssertionError("it is still there")


def group_has(api, group, calls, plural):
    """Whether the three documents by which a client finds a resource have it; `calls`: its API."""
    found = {each.name: each for each in client.ApisApi(api).get_api_versions().groups}
    versions = [each.version for each in found[group].versions]
    served = [each.name for each in calls.get_api_resources().resources]
    return "v1" in versions and plural in served


def slice_of(name, address="10.1.2.3"):
    return {
        "metadata": {"generateName": f"{name}-", "labels": {"special-label": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
    }


def test_endpoint_slices_support_all_operations(api, discovery, space):
    """EndpointSlice should support creating EndpointSlice API operations."""
    assert group_has(api, "discovery.k8s.io", discovery, "endpointslices")
    made = [discovery.create_namespaced_endpoint_slice(space, slice_of("e2e")) for _ in range(3)]
    first = made[0]
    name, since = first.metadata.name, first.metadata.resource_version
    assert discovery.read_namespaced_endpoint_slice(name, space).metadata.uid == first.metadata.uid
    listed = discovery.list_namespaced_endpoint_slice(space, label_selector="special-label=e2e")
    assert len(listed.items) == 3
    everywhere = discovery.list_endpoint_slice_for_all_namespaces(
        label_selector="special-label=e2e"
    )
    assert len(everywhere.items) == 3
    patched = discovery.patch_namespaced_endpoint_slice(
        name, space, {"metadata": {"annotations": {"patched": "true"}}}
    )
    assert patched.metadata.annotations["patched"] == "true"
    patched.metadata.annotations["updated"] = "true"
    patched.endpoints[0].addresses = ["10.5.6.7"]
    updated = discovery.replace_namespaced_endpoint_slice(name, space, patched)
    assert updated.endpoints[0].addresses == ["10.5.6.7"]
    discovery.delete_namespaced_endpoint_slice(name, space)
    assert gone(discovery.read_namespaced_endpoint_slice, name, space)
    discovery.delete_collection_namespaced_endpoint_slice(space, label_selector="special-label=e2e")
    left = discovery.list_namespaced_endpoint_slice(space, label_selector="special-label=e2e")
    assert left.items == []
    seen = events(
        discovery.list_namespaced_endpoint_slice,
        space,
        since=since,
        until=lambda kind, obj: kind == "DELETED" and obj.metadata.name == made[2].metadata.name,
    )
    mine = [kind for kind, obj in seen if obj.metadata.name == name]
    assert mine == ["MODIFIED", "MODIFIED", "DELETED"]


def test_endpoints_and_slices_point_to_the_api_server(core, discovery):
    """API Server should have Endpoints and EndpointSlices pointing to it."""
    service = core.read_namespaced_service("kubernetes", "default")
    assert [port.port for port in service.spec.ports] == [443]
    endpoints = core.read_namespaced_endpoints("kubernetes", "default")
    addresses = {each.ip for subset in endpoints.subsets for each in subset.addresses}
    ports = {port.port for subset in endpoints.subsets for port in subset.ports}
    assert addresses
    slices = discovery.list_namespaced_endpoint_slice(
        "default", label_selector="kubernetes.io/service-name=kubernetes"
    ).items
    found = {address for each in slices for one in each.endpoints for address in one.addresses}
    assert found == addresses
    assert {port.port for each in slices for port in each.ports} == ports
    assert discovery.read_namespaced_endpoint_slice("kubernetes", "default").address_type == "IPv4"


def selecting(name):
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"does-not-match-anything": "endpoints"}, "ports": [{"port": 80}]},
    }


def test_endpoints_come_and_go_with_a_service_without_pods(core, space):
    """EndpointsController … for a Service with a selector that matches no pods."""
    since = core.list_namespaced_endpoints(space).metadata.resource_version
    core.create_namespaced_service(space, selecting("example-empty-selector"))
    seen = events(
        core.list_namespaced_endpoints, space, since=since, until=lambda kind, obj: kind == "ADDED"
    )
    assert seen[-1][1].metadata.name == "example-empty-selector" and not seen[-1][1].subsets
    core.delete_namespaced_service("example-empty-selector", space)
    until_gone(core.read_namespaced_endpoints, "example-empty-selector", space)


def test_slices_come_and_go_with_a_service_without_pods(core, discovery, space):
    """EndpointSlice … for a Service with a selector that matches no pods."""
    since = discovery.list_namespaced_endpoint_slice(space).metadata.resource_version
    service = core.create_namespaced_service(space, selecting("example-empty-selector"))
    call = discovery.list_namespaced_endpoint_slice
    kind, made = events(call, space, since=since, until=lambda kind, obj: True)[0]
    assert kind == "ADDED" and not made.endpoints
    assert made.metadata.labels == {
        "kubernetes.io/service-name": "example-empty-selector",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    owner = made.metadata.owner_references[0]
    assert (owner.kind, owner.uid, owner.controller) == ("Service", service.metadata.uid, True)
    core.delete_namespaced_service("example-empty-selector", space)
    until_gone(discovery.read_namespaced_endpoint_slice, made.metadata.name, space)


def test_custom_endpoints_are_mirrored(core, discovery, space):
    """EndpointSliceMirroring … through create update and delete."""
    name = "example-custom-endpoints"
    core.create_namespaced_service(space, {"metadata": {"name": name}, "spec": {"ports": [port()]}})

    def endpoints(address, number):
        subset = {"addresses": [{"ip": address}], "ports": [port(number)]}
        return {"metadata": {"name": name}, "subsets": [subset]}

    call, label = discovery.list_namespaced_endpoint_slice, f"kubernetes.io/service-name={name}"

    def shows(address, number):
        def look(kind, obj):
            found = [a for each in obj.endpoints or () for a in each.addresses]
            ports = [each.port for each in obj.ports or ()]
            return kind != "DELETED" and (found, ports) == ([address], [number])

        return look

    since = call(space).metadata.resource_version
    core.create_namespaced_endpoints(space, endpoints("10.1.2.3", 80))
    seen = events(call, space, since=since, label_selector=label, until=shows("10.1.2.3", 80))
    manager = seen[-1][1].metadata.labels["endpointslice.kubernetes.io/managed-by"]
    assert manager == "endpointslicemirroring-controller.k8s.io"
    core.replace_namespaced_endpoints(name, space, endpoints("10.2.3.4", 9090))
    events(call, space, since=since, label_selector=label, until=shows("10.2.3.4", 9090))
    assert len(call(space, label_selector=label).items) == 1
    core.delete_namespaced_endpoints(name, space)
    events(
        call,
        space,
        since=since,
        label_selector=label,
        until=lambda kind, obj: kind == "DELETED",
    )
    assert call(space, label_selector=label).items == []


def port(number=80):
    return {"name": "example", "port": number, "protocol": "TCP"}


def test_service_cidrs_support_all_operations(api, networking):
    """ServiceCIDR and IPAddress API should support ServiceCIDR API operations."""
    assert group_has(api, "networking.k8s.io", networking, "servicecidrs")
    default = networking.read_service_cidr("kubernetes")
    assert default.spec.cidrs and default.status.conditions[0].status == "True"
    label = {"test": "e2e-service-cidr"}
    wanted = {
        "metadata": {"name": "e2e-cidr", "labels": label},
        "spec": {"cidrs": ["10.196.196.0/24"]},
    }
    made = networking.create_service_cidr(wanted)
    since = made.metadata.resource_version
    patch = {"metadata": {"annotations": {"patched": "true"}}}
    patched = networking.patch_service_cidr("e2e-cidr", patch)
    assert patched.metadata.annotations == {"patched": "true"}
    with pytest.raises(client.ApiException) as caught:
        networking.patch_service_cidr("e2e-cidr", {"spec": {"cidrs": ["10.197.0.0/24"]}})
    assert caught.value.status == 422
    assert networking.read_service_cidr_status("e2e-cidr").metadata.uid == made.metadata.uid
    condition = {
        "type": "StatusPatched",
        "status": "Unknown",
        "reason": "E2E",
        "message": "Set by e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    told = networking.patch_service_cidr_status("e2e-cidr", {"status": {"conditions": [condition]}})
    assert "StatusPatched" in [each.type for each in told.status.conditions]
    told.status.conditions[-1].message = "again"
    again = networking.replace_service_cidr_status("e2e-cidr", told)
    assert again.status.conditions[-1].message == "again"
    again.metadata.labels["updated"] = "true"
    networking.replace_service_cidr("e2e-cidr", again)
    selector = "test=e2e-service-cidr"
    assert len(networking.list_service_cidr(label_selector=selector).items) == 1
    networking.delete_service_cidr("e2e-cidr")
    networking.delete_collection_service_cidr(label_selector=selector)
    until_gone(networking.read_service_cidr, "e2e-cidr")
    seen = events(
        networking.list_service_cidr, since=since, until=lambda kind, obj: kind == "DELETED"
    )
    assert {"MODIFIED", "DELETED"} <= {kind for kind, _ in seen}
    assert networking.read_service_cidr("kubernetes").metadata.uid == default.metadata.uid


def test_ip_addresses_support_all_operations(api, networking):
    """ServiceCIDR and IPAddress API should support IPAddress API operations."""
    assert group_has(api, "networking.k8s.io", networking, "ipaddresses")

    def address(ip):
        parent = {"group": "", "resource": "services", "name": "example", "namespace": "default"}
        metadata = {"name": ip, "labels": {"test": "e2e-ip-address"}}
        return {"metadata": metadata, "spec": {"parentRef": parent}}

    made = networking.create_ip_address(address("192.168.1.1"))
    since = made.metadata.resource_version
    networking.create_ip_address(address("192.168.1.2"))
    with pytest.raises(client.ApiException) as caught:
        networking.create_ip_address(address("192.168.01.3"))
    assert caught.value.status == 422
    patch = {"metadata": {"annotations": {"patched": "true"}}}
    patched = networking.patch_ip_address("192.168.1.1", patch)
    patched.metadata.annotations["updated"] = "true"
    updated = networking.replace_ip_address("192.168.1.1", patched)
    assert updated.metadata.annotations == {"patched": "true", "updated": "true"}
    assert updated.spec.parent_ref.resource == "services"
    selector = "test=e2e-ip-address"
    assert len(networking.list_ip_address(label_selector=selector).items) == 2
    networking.delete_ip_address("192.168.1.1")
    until_gone(networking.read_ip_address, "192.168.1.1")
    networking.delete_collection_ip_address(label_selector=selector)
    assert networking.list_ip_address(label_selector=selector).items == []
    seen = events(
        networking.list_ip_address,
        since=since,
        until=lambda kind, obj: kind == "DELETED" and obj.metadata.name == "192.168.1.2",
    )
    mine = [kind for kind, obj in seen if obj.metadata.name == "192.168.1.1"]
    assert mine == ["MODIFIED", "MODIFIED", "DELETED"]


def test_a_services_status_has_a_life_of_its_own(core, space):
    """Services should complete a service status lifecycle."""
    spec = {"type": "LoadBalancer", "ports": [port()], "loadBalancerClass": "e2e.test/none"}
    made = core.create_namespaced_service(
        space,
        {"metadata": {"name": "life", "labels": {"test-service-static": "true"}}, "spec": spec},
    )
    since = made.metadata.resource_version
    assert core.read_namespaced_service_status("life", space).status.load_balancer is not None
    ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": ingress}
    patched = core.patch_namespaced_service_status("life", space, patch)
    assert patched.status.load_balancer.ingress[0].ip == "203.0.113.1"
    assert patched.metadata.annotations == {"patchedstatus": "true"}
    condition = client.V1Condition(
        type="StatusUpdate",
        status="True",
        reason="E2E",
        message="Set from e2e test",
        last_transition_time="2026-01-01T00:00:00Z",
    )
    patched.status.conditions = [condition]
    patched.spec.ports[0].port = 8080  # not for this subresource
    updated = core.replace_namespaced_service_status("life", space, patched)
    assert [each.type for each in updated.status.conditions] == ["StatusUpdate"]
    assert updated.spec.ports[0].port == 80
    labelled = core.patch_namespaced_service(
        "life", space, {"metadata": {"labels": {"test-service": "patched"}}, "status": {}}
    )
    assert labelled.metadata.labels["test-service"] == "patched"
    assert labelled.status.conditions[0].reason == "E2E"
    core.delete_namespaced_service("life", space)
    seen = events(
        core.list_namespaced_service, space, since=since, until=lambda kind, obj: kind == "DELETED"
    )
    assert [kind for kind, _ in seen] == ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]


def test_a_collection_of_services_is_deleted(core, space):
    """Services should delete a collection of services."""
    for name, label in (("a", "e2e-svc"), ("b", "e2e-svc"), ("c", "another")):
        metadata = {"name": f"e2e-svc-{name}", "labels": {"app": label}}
        core.create_namespaced_service(space, {"metadata": metadata, "spec": {"ports": [port()]}})
    assert len(core.list_namespaced_service(space).items) == 3
    core.delete_collection_namespaced_service(space, label_selector="app=e2e-svc")
    left = core.list_namespaced_service(space).items
    assert [service.metadata.name for service in left] == ["e2e-svc-c"]
