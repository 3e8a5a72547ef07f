"""HorizontalPodAutoscaler."""

from netemu.api.kind import Kind

HORIZONTAL_POD_AUTOSCALERS = Kind(
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    kind="HorizontalPodAutoscaler",
    namespaced=True,
)
