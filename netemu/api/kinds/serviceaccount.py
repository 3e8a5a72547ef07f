"""ServiceAccount."""

from netemu.api.kind import Kind

SERVICE_ACCOUNTS = Kind(
    group="", version="v1", plural="serviceaccounts", kind="ServiceAccount", namespaced=True
)
