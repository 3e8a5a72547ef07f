from __future__ import annotations

import pytest

from netemu.overlay.lease import annotations_of, from_object, pod_cidrs


def test_from_object(node, lease):
    assert from_object(node(2), 4) == lease(2)


def test_public_ip_overwrite_wins(node):
    found = from_object(node(2, public_ip_overwrite="198.51.100.2"), 4)
    assert found.public_ip == "198.51.100.2"


@pytest.mark.parametrize(
    "changes",
    [
        {"public_ip": None},
        {"cidrs": ("fd00:1::/64",)},
        {"backend_data": "not json"},
        {"backend_data": "[1]"},
        {"backend_data": '{"VNI": "x"}'},
    ],
    ids=["not published", "other family", "no JSON", "no object", "no number"],
)
def test_what_is_no_lease(node, changes):
    assert from_object(node(2, **changes), 4) is None


def test_a_node_without_pod_cidr_has_no_lease(node):
    bare = node(2)
    del bare["spec"]["podCIDR"], bare["spec"]["podCIDRs"]
    assert from_object(bare, 4) is None
    assert pod_cidrs(bare) == ()


def test_backend_without_data(node):
    found = from_object(node(2, backend_type="host-gw", backend_data="null"), 4)
    assert (found.backend, found.vtep_mac, found.vni) == ("host-gw", "", 0)


def test_pod_cidrs_has_ipv4_first(node):
    assert pod_cidrs(node(1, ("fd00:1::/64", "10.244.1.0/24"))) == ("10.244.1.0/24", "fd00:1::/64")


def test_pod_cidr_alone_counts():
    assert pod_cidrs({"spec": {"podCIDR": "10.244.9.0/24"}}) == ("10.244.9.0/24",)


def test_what_is_published_reads_back(node, lease):
    bare = node(2)
    bare["metadata"]["annotations"] = annotations_of([lease(2)])
    assert from_object(bare, 4) == lease(2)


def test_published_words_are_flannels(lease):
    assert annotations_of([lease(2)]) == {
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}',
        "flannel.alpha.coreos.com/public-ip": "172.30.0.2",
    }


def test_dual_stack_and_host_gw_are_published(lease):
    v6 = lease(2, family=6, subnet="fd00:2::/64", public_ip="fd00:30::2", vtep_mac="", vni=0)
    published = annotations_of([lease(2), v6])
    assert published["flannel.alpha.coreos.com/public-ipv6"] == "fd00:30::2"
    assert published["flannel.alpha.coreos.com/backend-v6-data"] == "null"
