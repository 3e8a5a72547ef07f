"""Endpoints."""

from netemu.api.kind import Kind

ENDPOINTS = Kind(group="", version="v1", plural="endpoints", kind="Endpoints", namespaced=True)
