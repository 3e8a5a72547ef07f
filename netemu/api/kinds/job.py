"""Job."""

from netemu.api.kind import Kind

JOBS = Kind(group="batch", version="v1", plural="jobs", kind="Job", namespaced=True)
