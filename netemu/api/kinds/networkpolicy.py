"""NetworkPolicy."""

from netemu.api.kind import Kind

NETWORK_POLICIES = Kind(
    group="networking.k8s.io",
    version="v1",
    plural="networkpolicies",
    kind="NetworkPolicy",
    namespaced=True,
)
