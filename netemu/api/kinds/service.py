"""Service."""

from netemu.api.kind import Kind

SERVICES = Kind(group="", version="v1", plural="services", kind="Service", namespaced=True)
