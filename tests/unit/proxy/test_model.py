"""The border: raw Services and EndpointSlices into pruned values."""

from __future__ import annotations

from typing import Any

import pytest

from netemu.proxy.model import endpoints_of, service_ports, unusable_addresses


def service(**spec: Any) -> dict[str, Any]:
    status = spec.pop("status", {})
    wanted = {"clusterIP": "10.96.0.10", "ports": [{"port": 80}], **spec}
    return {"metadata": {"namespace": "d", "name": "s"}, "spec": wanted, "status": status}


def endpoint_slice(name: str, *endpoints: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "d", "name": name},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": list(endpoints),
        **more,
    }


@pytest.mark.parametrize(
    "spec",
    [{"clusterIP": "None"}, {"type": "ExternalName"}, {"clusterIP": ""}, {"clusterIP": "fd00::1"}],
)
def test_no_ports_for_what_is_not_proxied(spec: dict[str, Any]) -> None:
    assert service_ports(service(**spec)) == ()


def test_defaults() -> None:
    (port,) = service_ports(service())
    assert (port.key, port.protocol, port.node_port, port.affinity_seconds) == ("d/s", "tcp", 0, 0)
    assert not port.is_external


def test_a_named_port_is_part_of_the_key() -> None:
    (port,) = service_ports(service(ports=[{"name": "web", "port": 80}]))
    assert port.key == "d/s:web"


def test_affinity_takes_three_hours_unless_told() -> None:
    (port,) = service_ports(service(sessionAffinity="ClientIP"))
    assert port.affinity_seconds == 10800


def test_each_family_sees_its_own_addresses() -> None:
    both = service(
        type="LoadBalancer",
        clusterIPs=["10.96.0.10", "fd00::10"],
        externalIPs=["203.0.113.1", "2001:db8::1"],
        loadBalancerSourceRanges=[" 10.0.0.0/8", "2001:db8::/32 ", "nonsense"],
        status={"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "2001:db8::9"}]}},
    )
    (four,) = service_ports(both, 4)
    (six,) = service_ports(both, 6)
    assert (four.cluster_ip, six.cluster_ip) == ("10.96.0.10", "fd00::10")
    assert (four.external_ips, six.external_ips) == (("203.0.113.1",), ("2001:db8::1",))
    assert (four.load_balancer_ips, six.load_balancer_ips) == (("203.0.113.9",), ("2001:db8::9",))
    assert (four.source_ranges, six.source_ranges) == (("10.0.0.0/8",), ("2001:db8::/32",))


def test_health_check_port_only_with_local_policy() -> None:
    (cluster,) = service_ports(service(type="LoadBalancer", healthCheckNodePort=32000))
    (local,) = service_ports(
        service(type="LoadBalancer", healthCheckNodePort=32000, externalTrafficPolicy="Local")
    )
    assert (cluster.health_check_node_port, local.health_check_node_port) == (0, 32000)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.0.9", "0.0.0.0", "224.0.0.1", "not an address", "fd00::5"]
)
def test_unusable_endpoint_addresses_are_left_out(address: str) -> None:
    good = {"addresses": ["10.244.1.5"]}
    written = endpoint_slice("a", {"addresses": [address]}, good)
    assert [e.address for e in endpoints_of([written])["", "tcp"]] == ["10.244.1.5"]
    assert unusable_addresses([written]) == (address,)


def test_only_what_people_wrote_is_called_unusable() -> None:
    made = endpoint_slice("a", {"addresses": ["127.0.0.1"]})
    made["metadata"]["labels"] = {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"
    }
    named = endpoint_slice("b", {"addresses": ["www.example.com"]}, addressType="FQDN")
    assert unusable_addresses([made, named]) == ()


def test_ready_and_serving_count_as_true_when_absent() -> None:
    found = endpoints_of(
        [
            endpoint_slice(
                "a",
                {"addresses": ["10.244.1.1"]},
                {"addresses": ["10.244.1.2"], "conditions": {"ready": False}},
            )
        ]
    )
    first, second = found["", "tcp"]
    assert (first.ready, first.serving) == (True, True)
    assert (second.ready, second.serving) == (False, True)


READY, UNREADY = {"ready": True}, {"ready": False, "serving": False}
TERMINATING = {"ready": False, "serving": True, "terminating": True}


@pytest.mark.parametrize(
    ("loser", "winner"), [(UNREADY, READY), (TERMINATING, READY), (TERMINATING, UNREADY)]
)
def test_an_address_in_two_slices_counts_once(
    loser: dict[str, bool], winner: dict[str, bool]
) -> None:
    """Ready wins; and a terminating pod's address may be another pod's already."""
    for order in ([loser, winner], [winner, loser]):
        raws = ({"addresses": ["10.244.1.1"], "conditions": c} for c in order)
        slices = [endpoint_slice(str(i), raw) for i, raw in enumerate(raws)]
        (only,) = endpoints_of(slices)["", "tcp"]
        assert (only.ready, only.terminating) == (winner["ready"], False)


def test_order_does_not_depend_on_the_slices() -> None:
    a = endpoint_slice("a", {"addresses": ["10.244.1.9"]}, {"addresses": ["10.244.1.1"]})
    b = endpoint_slice("b", {"addresses": ["10.244.1.5"]})
    assert endpoints_of([a, b]) == endpoints_of([b, a])


def test_endpoints_stand_in_the_order_of_their_text() -> None:
    """As kube-proxy has them, so that dumps can be compared: a colon comes after the digits."""
    raws = [{"addresses": [f"10.244.1.{n}"]} for n in (1, 2, 10)]
    found = endpoints_of([endpoint_slice("a", *raws)])["", "tcp"]
    assert [e.address for e in found] == ["10.244.1.10", "10.244.1.1", "10.244.1.2"]


def test_addresses_of_old_objects_are_read_as_decimal() -> None:
    (port,) = service_ports(
        service(
            type="LoadBalancer",
            clusterIP="10.96.0.010",
            externalIPs=["203.0.113.009", " 203.0.113.8"],
            loadBalancerSourceRanges=[" 198.51.100.000/024 ", "010.1.0.0/16"],
            status={"loadBalancer": {"ingress": [{"ip": "203.000.113.010"}]}},
        )
    )
    assert (port.cluster_ip, port.external_ips) == ("10.96.0.10", ("203.0.113.9",))
    assert port.load_balancer_ips == ("203.0.113.10",)
    assert port.source_ranges == ("198.51.100.0/24", "10.1.0.0/16")
    raw = endpoint_slice("a", {"addresses": ["010.244.01.001"]})
    (endpoint,) = endpoints_of([raw])["", "tcp"]
    assert endpoint.address == "10.244.1.1"


def test_an_ipv4_address_in_ipv6_form_is_what_it_means() -> None:
    (port,) = service_ports(service(externalIPs=["::ffff:203.0.113.1"]))
    assert port.external_ips == ("203.0.113.1",)
