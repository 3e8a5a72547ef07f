"""What every proxy mode offers: put services into one node's kernel, and take them out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from netemu.proxy.endpoints import Service
from netemu.proxy.model import NodeView

Services = Mapping[str, tuple[Service, ...]]
"""ServicePorts with their endpoints, by the Service's key `namespace/name`."""


@dataclass(frozen=True, slots=True)
class Change:
    """One Service that became another; both sides empty-able."""

    key: str
    old: tuple[Service, ...]
    new: tuple[Service, ...]


def in_order(services: Services) -> list[Service]:
    """All ServicePorts by key: equal input gives equal rules."""
    return [port for key in sorted(services) for port in services[key]]


class Backend(Protocol):
    """One mode's rules, of one IP family, in one node's kernel. Failures are DataplaneErrors, and
    leave the former rules in place."""

    async def replace(self, services: Services, node: NodeView) -> None:
        """Make the kernel hold exactly `services`, whatever it holds now."""

    async def settle(self) -> None:
        """What the next `update` needs and `replace` did not: packets flow already."""

    async def update(self, services: Services, changes: Sequence[Change], node: NodeView) -> None:
        """Bring in `changes` and touch nothing else; `services` is the whole after them."""

    async def check(self, services: Services, node: NodeView) -> None:
        """Have the kernel judge `services` without taking them over (finds the one at fault)."""

    async def is_intact(self) -> bool:
        """Whether the rules still stand: nobody flushed them behind our back."""

    async def clean(self) -> None:
        """Remove everything of this mode; nothing there is fine."""

    async def maintain(self) -> None:
        """Periodic chores: delete drained servers, chains out of use."""

    def close(self) -> None:
        """Let go of sockets; the rules stay."""
