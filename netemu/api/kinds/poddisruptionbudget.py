"""PodDisruptionBudget."""

from netemu.api.kind import Kind

POD_DISRUPTION_BUDGETS = Kind(
    group="policy",
    version="v1",
    plural="poddisruptionbudgets",
    kind="PodDisruptionBudget",
    namespaced=True,
)
