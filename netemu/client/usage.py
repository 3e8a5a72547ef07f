"""What the API server asks of the nodes for `metrics.k8s.io`: what pods and nodes use now.

In a cluster metrics-server scrapes the kubelets; here `cluster` wires their own figures to the API
server, which must not know `node`. https://github.com/kubernetes-sigs/metrics-server
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Amounts = Mapping[str, int]
"""Resource → usage: cpu in thousandths of a core, memory in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`nodes` by name; `pods` by (namespace, name), and in each by container."""

    nodes: Mapping[str, Amounts]
    pods: Mapping[tuple[str, str], Mapping[str, Amounts]]
    window: float
    """Over how many seconds the processor time was measured."""


class UsageSource(Protocol):
    """Whoever can tell what runs: the kubelets of one daemon, or a test."""

    async def measure(self) -> Measured:
        """What is used now; what does not run, or whose node is silent, is left out."""
