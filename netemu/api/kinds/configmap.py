"""ConfigMap."""

from netemu.api.kind import Kind

CONFIG_MAPS = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap", namespaced=True)
