"""What other objects than Services say to a node's view."""

from __future__ import annotations

from netemu.proxy.model import NodeView
from netemu.proxy.services import service_ranges


def service_cidr(*cidrs: str) -> dict[str, object]:
    return {"metadata": {"name": "more"}, "spec": {"cidrs": list(cidrs)}}


def test_service_ranges_grow_with_service_cidrs() -> None:
    """TestProxier_OnServiceCIDRsChanged: each family by itself, no address twice."""
    view = NodeView(name="node-1", service_cidrs=("10.96.0.0/12",))
    assert service_ranges(view, []) == view
    more = [service_cidr("10.200.0.0/24", "fd00:96::/108"), service_cidr("10.97.0.0/16")]
    assert service_ranges(view, more).service_cidrs == ("10.96.0.0/12", "10.200.0.0/24")
    view = NodeView(name="node-1", family=6)
    assert service_ranges(view, more).service_cidrs == ("fd00:96::/108",)
