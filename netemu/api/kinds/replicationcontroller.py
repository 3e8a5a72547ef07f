"""ReplicationController."""

from netemu.api.kind import Kind

REPLICATION_CONTROLLERS = Kind(
    group="",
    version="v1",
    plural="replicationcontrollers",
    kind="ReplicationController",
    namespaced=True,
)
