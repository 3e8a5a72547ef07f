from __future__ import annotations

from netemu.overlay.settings import OverlaySettings
from netemu.overlay.subnet_env import parse, render


def test_render():
    settings = OverlaySettings(networks=("10.244.0.0/16",))
    assert render(settings, ["10.244.3.0/24"]) == (
        "FLANNEL_NETWORK=10.244.0.0/16\n"
        "FLANNEL_SUBNET=10.244.3.1/24\n"
        "FLANNEL_MTU=1450\n"
        "FLANNEL_IPMASQ=true\n"
    )


def test_dual_stack_reads_back():
    settings = OverlaySettings(networks=("10.244.0.0/16", "fd00:10:244::/56"))
    found = parse(render(settings, ["10.244.3.0/24", "fd00:10:244:3::/64"]))
    assert found["FLANNEL_IPV6_NETWORK"] == "fd00:10:244::/56"
    assert found["FLANNEL_IPV6_SUBNET"] == "fd00:10:244:3::1/64"
