from __future__ import annotations

from netemu.overlay.plan import own_leases, plan_node
from netemu.overlay.settings import OverlaySettings

SETTINGS = OverlaySettings(networks=("10.244.0.0/16", "fd00:10:244::/56"))
MACS = {4: "02:00:00:00:00:01", 6: "02:00:00:00:06:01"}


def test_a_node_without_pod_cidr_has_no_leases(node):
    bare = node(1)
    bare["spec"] = {}
    assert own_leases(bare, ["172.30.0.1"], SETTINGS, MACS) == ()


def test_own_leases_of_both_families(node):
    both = node(1, ("10.244.1.0/24", "fd00:10:244:1::/64"))
    v4, v6 = own_leases(both, ["172.30.0.1", "fd00:30::1"], SETTINGS, MACS)
    assert (v4.public_ip, v4.vtep_mac) == ("172.30.0.1", MACS[4])
    assert (v6.public_ip, v6.vtep_mac) == ("fd00:30::1", MACS[6])


def test_a_family_without_address_is_left_out(node):
    both = node(1, ("10.244.1.0/24", "fd00:10:244:1::/64"))
    assert [each.family for each in own_leases(both, ["172.30.0.1"], SETTINGS, MACS)] == [4]


def test_host_gw_has_no_vtep(node):
    settings = OverlaySettings(networks=("10.244.0.0/16",), backend="host-gw")
    (own,) = own_leases(node(1), ["172.30.0.1"], settings, MACS)
    assert (own.vtep_mac, own.vni) == ("", 0)


def test_the_plan_joins_the_families(node):
    def both(number):
        return node(
            number,
            (f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"),
            public_ipv6=f"fd00:30::{number}",
            backend_v6_data='{"VNI":1,"VtepMAC":"02:00:00:00:06:02"}',
        )

    own = own_leases(both(1), ["172.30.0.1", "fd00:30::1"], SETTINGS, MACS)
    planned = plan_node(own, [both(1), both(2), node(3)], SETTINGS)
    assert {link.name for link in planned.network.links} == {"flannel.1", "flannel-v6.1"}
    assert {route.destination for route in planned.network.routes} == {
        "10.244.2.0/24",
        "10.244.3.0/24",
        "fd00:10:244:2::/64",
    }


def test_equal_input_gives_an_equal_plan(node):
    own = own_leases(node(1), ["172.30.0.1"], SETTINGS, MACS)
    nodes = [node(number) for number in (1, 2, 3, 4)]
    assert plan_node(own, nodes, SETTINGS) == plan_node(own, reversed(nodes), SETTINGS)
