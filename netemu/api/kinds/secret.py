"""Secret."""

from netemu.api.kind import Kind

SECRETS = Kind(group="", version="v1", plural="secrets", kind="Secret", namespaced=True)
