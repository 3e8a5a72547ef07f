"""Lease."""

from netemu.api.kind import Kind

LEASES = Kind(
    group="coordination.k8s.io", version="v1", plural="leases", kind="Lease", namespaced=True
)
