"""What pods and nodes use, for autoscalers and `top`: as every kubelet of this daemon measures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from netemu.client.usage import Measured
from netemu.cluster.node_agent import NodeAgent
from netemu.errors import NetemuError

log = logging.getLogger(__name__)

ContainerUsage = Mapping[str, Mapping[str, int]]


class ClusterUsage:
    """The autoscalers' `PodMetrics` and the API's `UsageSource`, from the agents that run now."""

    def __init__(self, agents: Callable[[], Mapping[str, NodeAgent]]) -> None:
        self._agents = agents

    async def usage(self, namespace: str) -> Mapping[str, ContainerUsage]:
        """Usage by pod name; a pod without figures is left out."""
        measured = await self.measure()
        return {pod: used for (space, pod), used in measured.pods.items() if space == namespace}

    async def measure(self) -> Measured:
        """A node uses what its pods use: they are all that runs on it."""
        agents = dict(self._agents())
        found = await asyncio.gather(*map(_usage, agents.values()))
        return Measured(
            nodes={name: _sum(pods) for name, pods in zip(agents, found, strict=True)},
            pods={pod: used for pods in found for pod, used in pods.items()},
            window=max((agent.kubelet.usage_window for agent in agents.values()), default=0.0),
        )


async def _usage(agent: NodeAgent) -> Mapping[tuple[str, str], ContainerUsage]:
    try:
        return await agent.kubelet.usage()
    except NetemuError as error:  # one node's silence is not the others'
        log.warning("no usage", extra={"kv": {"node": agent.name, "error": str(error)}})
        return {}


def _sum(pods: Mapping[tuple[str, str], ContainerUsage]) -> dict[str, int]:
    each = [amounts for containers in pods.values() for amounts in containers.values()]
    return {resource: sum(amounts[resource] for amounts in each) for resource in ("cpu", "memory")}
