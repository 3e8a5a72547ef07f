"""What the server gives a Service: families, cluster IPs, node ports."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from netemu.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from netemu.config.cluster import ClusterConfig
from netemu.errors import ApiError

DUAL = ClusterConfig(service_subnets=("10.96.0.0/16", "fd00:96::/112"))


def service(name="web", ports=(80,), **spec):
    listed = [{"name": f"p{port}", "port": port} for port in ports]
    spec = {"ports": listed, "selector": {"app": "x"}} | spec
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def refused(coroutine) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coroutine
    assert caught.value.code == 422
    return caught.value


def fields(error: ApiError) -> list[str]:
    return [cause["field"] for cause in error.details["causes"]]


async def test_a_cluster_ip_from_the_range_and_no_two_the_same(client):
    made = await asyncio.gather(*(client.create(SERVICES, service(f"s{i}")) for i in range(50)))
    addresses = {one["spec"]["clusterIP"] for one in made}
    assert len(addresses) == 50
    assert all(ip_address(a) in ip_network("10.96.0.0/12") for a in addresses)
    assert made[0]["spec"]["clusterIPs"] == [made[0]["spec"]["clusterIP"]]
    assert made[0]["spec"]["ipFamilies"] == ["IPv4"]


async def test_kube_dns_gets_the_address_it_asks_for_and_nobody_else(client):
    made = await client.create(SERVICES, service("kube-dns", clusterIP="10.96.0.10"))
    assert made["spec"]["clusterIPs"] == ["10.96.0.10"]
    error = await refused(client.create(SERVICES, service("other", clusterIP="10.96.0.10")))
    assert "failed to allocate IP 10.96.0.10: provided IP is already allocated" in error.message
    error = await refused(client.create(SERVICES, service("out", clusterIP="192.168.0.1")))
    assert "The range of valid IPs is 10.96.0.0/12" in error.message
    await client.delete(SERVICES, "kube-dns", "default")
    await client.create(SERVICES, service("again", clusterIP="10.96.0.10"))


async def test_a_failed_create_gives_back_what_it_took(client):
    bad = service("web", clusterIP="10.96.0.20", sessionAffinity="Sometimes")
    await refused(client.create(SERVICES, bad))
    await client.create(SERVICES, service("web", clusterIP="10.96.0.20"))


async def test_headless_and_external_name_have_no_address(client):
    made = await client.create(SERVICES, service("h", clusterIP="None"))
    assert made["spec"]["clusterIPs"] == ["None"]
    made = await client.create(
        SERVICES, service("e", type="ExternalName", externalName="example.com")
    )
    assert "clusterIP" not in made["spec"]


async def test_node_ports_are_kept_and_shared_by_protocols_only(client):
    both = service("dns", type="NodePort")
    both["spec"]["ports"] = [
        {"name": "udp", "port": 53, "protocol": "UDP"},
        {"name": "tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9153},
    ]
    made = await client.create(SERVICES, both)
    udp, tcp, metrics = (port["nodePort"] for port in made["spec"]["ports"])
    assert udp == tcp != metrics and 30000 <= metrics <= 32767
    again = await client.update(SERVICES, {**both, "metadata": made["metadata"]})
    assert [p["nodePort"] for p in again["spec"]["ports"]] == [udp, tcp, metrics]
    taken = service("other", type="NodePort")
    taken["spec"]["ports"][0]["nodePort"] = udp
    error = await refused(client.create(SERVICES, taken))
    assert "provided port is already allocated" in error.message
    taken["spec"]["ports"][0]["nodePort"] = 80
    error = await refused(client.create(SERVICES, taken))
    assert "The range of valid ports is 30000-32767" in error.message


async def test_going_back_to_cluster_ip_frees_the_node_port(client):
    node = service(type="NodePort")
    node["spec"]["ports"][0]["nodePort"] = 31000
    await client.create(SERVICES, node)
    done = await client.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in done["spec"]["ports"][0]
    await client.create(SERVICES, {**node, "metadata": {**node["metadata"], "name": "next"}})


async def test_a_local_load_balancer_gets_a_health_check_port(client):
    made = await client.create(
        SERVICES, service(type="LoadBalancer", externalTrafficPolicy="Local")
    )
    assert made["spec"]["healthCheckNodePort"] != made["spec"]["ports"][0]["nodePort"]
    without = await client.create(
        SERVICES, service("b", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    )
    assert "nodePort" not in without["spec"]["ports"][0]


async def test_the_health_check_port_comes_and_goes_with_the_policy(client):
    local = service(type="LoadBalancer", externalTrafficPolicy="Local")
    first = (await client.create(SERVICES, local))["spec"]["healthCheckNodePort"]
    port = {"spec": {"ports": [{"name": "p80", "port": 81}]}}
    kept = await client.patch(SERVICES, "web", "default", port)
    assert kept["spec"]["healthCheckNodePort"] == first
    to_cluster = {"spec": {"externalTrafficPolicy": "Cluster"}}
    without = await client.patch(SERVICES, "web", "default", to_cluster)
    assert "healthCheckNodePort" not in without["spec"]
    # It is free: another Service may have it.
    other = service("other", type="LoadBalancer", externalTrafficPolicy="Local")
    other["spec"]["healthCheckNodePort"] = first
    await client.create(SERVICES, other)
    to_local = {"spec": {"externalTrafficPolicy": "Local"}}
    again = await client.patch(SERVICES, "web", "default", to_local)
    assert again["spec"]["healthCheckNodePort"] not in (0, first)


async def test_dual_stack(make_server):
    client = (await make_server(DUAL)).local_client()
    made = await client.create(SERVICES, service(ipFamilyPolicy="PreferDualStack"))
    four, six = made["spec"]["clusterIPs"]
    assert ip_address(four) in ip_network("10.96.0.0/16")
    assert ip_address(six) in ip_network("fd00:96::/112")
    made = await client.create(SERVICES, service("six", ipFamilies=["IPv6"]))
    assert len(made["spec"]["clusterIPs"]) == 1 and ":" in made["spec"]["clusterIP"]
    assert made["spec"]["ipFamilyPolicy"] == "SingleStack"


async def test_a_single_stack_cluster_prefers_what_it_has_and_refuses_what_it_has_not(client):
    made = await client.create(SERVICES, service("a", ipFamilyPolicy="PreferDualStack"))
    assert len(made["spec"]["clusterIPs"]) == 1
    error = await refused(client.create(SERVICES, service("b", ipFamilyPolicy="RequireDualStack")))
    assert "not configured for dual-stack" in error.message
    error = await refused(client.create(SERVICES, service("c", ipFamilies=["IPv6"])))
    assert "not configured on this cluster" in error.message


async def test_what_is_taken_is_known_after_a_restart(make_server):
    first = await make_server()
    await first.local_client().create(SERVICES, service(clusterIP="10.96.0.30"))
    again = await make_server(store=first.store)
    await refused(again.local_client().create(SERVICES, service("b", clusterIP="10.96.0.30")))


IMPOSSIBLE = {
    "a NodePort that is taken": (
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 31000}]},
        "spec.ports[0].nodePort",
    ),
    "a NodePort out of range": (
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
        "spec.ports[0].nodePort",
    ),
    "a NodePort of a ClusterIP Service": (
        {"ports": [{"port": 80, "nodePort": 31001}]},
        "spec.ports[0].nodePort",
    ),
    "a ClusterIP that is taken": ({"clusterIP": "10.96.0.30"}, "spec.clusterIPs[0]"),
    "a ClusterIP out of range": ({"clusterIP": "192.168.0.1"}, "spec.clusterIPs[0]"),
    "a ClusterIP that is none": ({"clusterIP": "10.96.0"}, "spec.clusterIPs[0]"),
    "a health check port without Local": (
        {"type": "LoadBalancer", "healthCheckNodePort": 32000},
        "spec.healthCheckNodePort",
    ),
    "a health check port that is its own NodePort": (
        {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 31001,
            "ports": [{"port": 80, "nodePort": 31001}],
        },
        "spec.healthCheckNodePort",
    ),
    "two families of a SingleStack Service": (
        {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]},
        "spec.ipFamilyPolicy",
    ),
    "two addresses of a SingleStack Service": (
        {"ipFamilyPolicy": "SingleStack", "clusterIPs": ["10.96.0.31", "fd00::1"]},
        "spec.ipFamilyPolicy",
    ),
    "an ExternalName with an address": (
        {"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.31"},
        "spec.clusterIPs",
    ),
    "an address of the other family": (
        {"clusterIP": "fd00::1", "ipFamilies": ["IPv4"]},
        "spec.clusterIPs[0]",
    ),
    "two addresses of one family": (
        {"clusterIP": "10.96.0.31", "clusterIPs": ["10.96.0.31", "10.96.0.32"]},
        "spec.clusterIPs",
    ),
    "an external address of this machine": ({"externalIPs": ["127.0.0.1"]}, "spec.externalIPs[0]"),
    "source ranges that are none": (
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/40"]},
        "spec.LoadBalancerSourceRanges",
    ),
}


@pytest.mark.parametrize(("spec", "path"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
async def test_the_impossible_is_refused_by_its_fields_path(client, spec, path):
    taken = {"type": "NodePort", "clusterIP": "10.96.0.30"}
    taken["ports"] = [{"port": 80, "nodePort": 31000}]
    first, second = service("first"), service("second")
    await client.create(SERVICES, {**first, "spec": first["spec"] | taken})
    error = await refused(client.create(SERVICES, {**second, "spec": second["spec"] | spec}))
    assert path in fields(error)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "10.1"])
async def test_endpoints_that_nobody_can_be_sent_to_are_refused(client, address):
    meta = {"name": "web", "namespace": "default"}
    subset = {"addresses": [{"ip": address}], "ports": [{"port": 80}]}
    error = await refused(client.create(ENDPOINTS, {"metadata": meta, "subsets": [subset]}))
    assert "subsets[0].addresses[0].ip" in fields(error)
    endpoints = [{"addresses": [address]}]
    written = {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
    error = await refused(client.create(ENDPOINT_SLICES, written))
    assert "endpoints[0].addresses[0]" in fields(error)
