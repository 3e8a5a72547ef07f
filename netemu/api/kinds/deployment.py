"""Deployment."""

from netemu.api.kind import Kind

DEPLOYMENTS = Kind(
    group="apps", version="v1", plural="deployments", kind="Deployment", namespaced=True
)
