from __future__ import annotations

from netemu.netstate.network import Network
from netemu.netstate.route import Route
from netemu.overlay.hostgw import plan_network
from netemu.overlay.settings import OverlaySettings

SETTINGS = OverlaySettings(networks=("10.244.0.0/16",), backend="host-gw")


def test_routes_and_nothing_else(lease):
    leases = [lease(n, backend="host-gw", vtep_mac="") for n in (1, 2, 3)] + [lease(4)]
    assert plan_network(leases[0], leases, SETTINGS) == Network(
        routes=frozenset(
            Route(destination=f"10.244.{n}.0/24", device="eth0", gateway=f"172.30.0.{n}")
            for n in (2, 3)
        )
    )


def test_pods_get_the_whole_mtu():
    assert SETTINGS.pod_mtu == 1500
