"""Which pod subnet is behind which node: flannel's lease, as its kube backend keeps it on the Node.

The subnet is the Node's podCIDR; how to reach it is in annotations that each node's overlay writes
about itself. https://github.com/flannel-io/flannel/blob/master/Documentation/kubernetes.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, Literal

Family = Literal[4, 6]

PREFIX = "flannel.alpha.coreos.com/"
_DATA: dict[Family, str] = {4: "backend-data", 6: "backend-v6-data"}
_PUBLIC: dict[Family, str] = {4: "public-ip", 6: "public-ipv6"}
_OVERWRITE: dict[Family, str] = {4: "public-ip-overwrite", 6: "public-ipv6-overwrite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One node's subnet of one family. `vtep_mac` is empty where the backend needs none."""

    node: str
    family: Family
    subnet: str
    public_ip: str
    backend: str
    vtep_mac: str = ""
    vni: int = 0


def family_of(cidr: str) -> Family:
    return 6 if ":" in cidr else 4


def pod_cidrs(node: Mapping[str, Any]) -> tuple[str, ...]:
    """spec.podCIDRs, IPv4 first; spec.podCIDR where there is no list."""
    spec = node.get("spec") or {}
    listed = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(sorted(listed, key=family_of))


def from_object(node: Mapping[str, Any], family: Family) -> Lease | None:
    """The lease that a Node object shows; None until its overlay has published it."""
    metadata = node.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    public = annotations.get(PREFIX + _OVERWRITE[family]) or annotations.get(
        PREFIX + _PUBLIC[family]
    )
    subnet = next((cidr for cidr in pod_cidrs(node) if family_of(cidr) == family), "")
    if not public or not subnet:
        return None
    backend = annotations.get(PREFIX + "backend-type", "")
    data = annotations.get(PREFIX + _DATA[family], "null")
    return _lease(metadata["name"], family, subnet, public, backend, data)


@lru_cache(maxsize=4096)
def _lease(
    node: str, family: Family, subnet: str, public_ip: str, backend: str, data: str
) -> Lease | None:
    """Remembered: each of N nodes reads the leases of all N, each time one of them changes."""
    try:
        fields = json.loads(data) or {}
        return Lease(
            node=node,
            family=family,
            subnet=str(ip_network(subnet)),
            public_ip=public_ip,
            backend=backend,
            vtep_mac=fields.get("VtepMAC", ""),
            vni=int(fields.get("VNI", 0)),
        )
    except (ValueError, AttributeError, TypeError):
        return None  # someone else's annotation: as good as none, until its node writes it anew


def annotations_of(leases: Iterable[Lease]) -> dict[str, str]:
    """What a node publishes about its own leases, one a family."""
    published = {PREFIX + "kube-subnet-manager": "true"}
    for lease in leases:
        data = {"VNI": lease.vni, "VtepMAC": lease.vtep_mac} if lease.vtep_mac else None
        published |= {
            PREFIX + "backend-type": lease.backend,
            PREFIX + _DATA[lease.family]: json.dumps(data, separators=(",", ":")),
            PREFIX + _PUBLIC[lease.family]: lease.public_ip,
        }
    return published
