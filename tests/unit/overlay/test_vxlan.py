from __future__ import annotations

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address, VxlanLink
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.route import Route
from netemu.overlay.settings import OverlaySettings
from netemu.overlay.vxlan import plan_network

SETTINGS = OverlaySettings(networks=("10.244.0.0/16",))


def test_own_device(lease):
    planned = plan_network(lease(1), [], SETTINGS)
    assert planned.links == {
        VxlanLink(
            name="flannel.1",
            vni=1,
            port=8472,
            local="172.30.0.1",
            device="eth0",
            mtu=1450,
            mac="02:00:00:00:00:01",
        )
    }
    assert planned.addresses == {Address(device="flannel.1", cidr="10.244.1.0/32")}
    assert not planned.routes | planned.neighbours | planned.fdb


def test_three_entries_a_peer(lease):
    planned = plan_network(lease(1), [lease(1), lease(2)], SETTINGS)
    assert planned.neighbours == {
        Neighbour(device="flannel.1", address="10.244.2.0", mac="02:00:00:00:00:02")
    }
    assert planned.fdb == {
        FdbEntry(device="flannel.1", mac="02:00:00:00:00:02", destination="172.30.0.2")
    }
    assert planned.routes == {
        Route(destination="10.244.2.0/24", device="flannel.1", gateway="10.244.2.0", onlink=True)
    }


def test_who_is_no_peer(lease):
    others = [lease(1), lease(2, backend="host-gw"), lease(3, family=6), lease(4, vtep_mac="")]
    assert not plan_network(lease(1), others, SETTINGS).routes


def test_vni_names_the_device(lease):
    settings = OverlaySettings(networks=("10.244.0.0/16",), vni=7, port=4789, mtu=9000)
    (device,) = plan_network(lease(1), [], settings).links
    assert (device.name, device.vni, device.port, device.mtu) == ("flannel.7", 7, 4789, 8950)


def test_ipv6_has_a_device_of_its_own(lease):
    own = lease(1, family=6, subnet="fd00:1::/64", public_ip="fd00:30::1")
    peer = lease(2, family=6, subnet="fd00:2::/64", public_ip="fd00:30::2")
    planned = plan_network(own, [peer], SETTINGS)
    (device,) = planned.links
    assert (device.name, device.local, device.mtu) == ("flannel-v6.1", "fd00:30::1", 1430)
    assert planned.addresses == {Address(device="flannel-v6.1", cidr="fd00:1::/128")}
    assert planned.routes == {
        Route(destination="fd00:2::/64", device="flannel-v6.1", gateway="fd00:2::", onlink=True)
    }


def test_direct_routing_needs_no_tunnel_entries(lease):
    settings = OverlaySettings(networks=("10.244.0.0/16",), direct_routing=True)
    planned = plan_network(lease(1), [lease(2)], settings)
    assert planned.routes == {
        Route(destination="10.244.2.0/24", device="eth0", gateway="172.30.0.2")
    }
    assert not planned.fdb | planned.neighbours
    assert planned.links
