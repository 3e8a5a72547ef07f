"""ResourceQuota."""

from netemu.api.kind import Kind

RESOURCE_QUOTAS = Kind(
    group="", version="v1", plural="resourcequotas", kind="ResourceQuota", namespaced=True
)
