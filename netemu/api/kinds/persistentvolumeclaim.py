"""PersistentVolumeClaim."""

from netemu.api.kind import Kind

PERSISTENT_VOLUME_CLAIMS = Kind(
    group="",
    version="v1",
    plural="persistentvolumeclaims",
    kind="PersistentVolumeClaim",
    namespaced=True,
)
