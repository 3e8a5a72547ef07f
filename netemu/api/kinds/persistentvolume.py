"""PersistentVolume."""

from netemu.api.kind import Kind

PERSISTENT_VOLUMES = Kind(
    group="", version="v1", plural="persistentvolumes", kind="PersistentVolume", namespaced=False
)
