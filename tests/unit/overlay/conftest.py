"""Builders of Nodes and leases."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from netemu.overlay.lease import Lease

NodeBuilder = Callable[..., dict[str, Any]]


@pytest.fixture
def node() -> NodeBuilder:
    """node(2): Node `node-2` with 10.244.2.0/24 behind 172.30.0.2; keywords change annotations."""

    def build(
        number: int, cidrs: tuple[str, ...] = (), **annotations: str | None
    ) -> dict[str, Any]:
        own = {
            "backend-type": "vxlan",
            "backend-data": json.dumps({"VNI": 1, "VtepMAC": f"02:00:00:00:00:{number:02x}"}),
            "public-ip": f"172.30.0.{number}",
        }
        changed = own | {key.replace("_", "-"): value for key, value in annotations.items()}
        kept = {f"flannel.alpha.coreos.com/{k}": v for k, v in changed.items() if v is not None}
        listed = cidrs or (f"10.244.{number}.0/24",)
        return {
            "metadata": {"name": f"node-{number}", "annotations": kept},
            "spec": {"podCIDR": listed[0], "podCIDRs": list(listed)},
        }

    return build


@pytest.fixture
def lease() -> Callable[..., Lease]:
    """lease(2): the lease that Node `node-2` shows; keywords change fields."""

    def build(number: int, **changes: Any) -> Lease:
        fields: dict[str, Any] = {
            "node": f"node-{number}",
            "family": 4,
            "subnet": f"10.244.{number}.0/24",
            "public_ip": f"172.30.0.{number}",
            "backend": "vxlan",
            "vtep_mac": f"02:00:00:00:00:{number:02x}",
            "vni": 1,
        }
        return Lease(**{**fields, **changes})

    return build
