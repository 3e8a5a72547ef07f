"""Where the pods' own usage comes from; the cluster wires it to the kubelets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

ContainerUsage = Mapping[str, Mapping[str, int]]
"""Container -> resource -> usage; cpu in thousandths of a core, memory in bytes."""


class PodMetrics(Protocol):
    async def usage(self, namespace: str) -> Mapping[str, ContainerUsage]:
        """Usage of the namespace's pods, by pod name; a pod without figures is left out."""


class NoMetrics:
    """No source of figures: autoscalers say so and leave the scale alone."""

    async def usage(self, namespace: str) -> Mapping[str, ContainerUsage]:
        return {}
