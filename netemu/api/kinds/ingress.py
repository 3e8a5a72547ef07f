"""Ingress."""

from netemu.api.kind import Kind

INGRESSES = Kind(
    group="networking.k8s.io", version="v1", plural="ingresses", kind="Ingress", namespaced=True
)
