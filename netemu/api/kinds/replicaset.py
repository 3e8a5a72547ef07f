"""ReplicaSet."""

from netemu.api.kind import Kind

REPLICA_SETS = Kind(
    group="apps", version="v1", plural="replicasets", kind="ReplicaSet", namespaced=True
)
