"""EndpointSlice."""

from netemu.api.kind import Kind

ENDPOINT_SLICES = Kind(
    group="discovery.k8s.io",
    version="v1",
    plural="endpointslices",
    kind="EndpointSlice",
    namespaced=True,
)
