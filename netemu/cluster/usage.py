"""The pods' own usage, for autoscalers: what every kubelet of this daemon measures."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from netemu.cluster.node_agent import NodeAgent

ContainerUsage = Mapping[str, Mapping[str, int]]


class ClusterUsage:
    """A `controllers.autoscaling.metrics.PodMetrics` on the agents that run now."""

    def __init__(self, agents: Mapping[str, NodeAgent]) -> None:
        self._agents = agents

    async def usage(self, namespace: str) -> Mapping[str, ContainerUsage]:
        """Usage by pod name; a pod without figures is left out."""
        agents = tuple(self._agents.values())
        measured = await asyncio.gather(*(agent.kubelet.usage() for agent in agents))
        return {
            pod: usage
            for found in measured
            for (space, pod), usage in found.items()
            if space == namespace
        }
