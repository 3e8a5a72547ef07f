"""What becomes of a packet, and every random choice played through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that matched."""

    where: str
    """`nat KUBE-SERVICES`, `kube-proxy services`, `ipvs`."""
    rule: str
    action: str
    """What it did: `jump KUBE-SVC-…`, `dnat 10.244.1.5:80`, `mark 0x4000`, `drop` …"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way that a packet may go."""

    verdict: str
    """accept, drop or reject."""
    address: str
    """Where it goes after DNAT."""
    port: int
    translated: bool
    """Whether a rule rewrote its destination."""
    masqueraded: bool
    """Whether its source becomes the node's."""
    steps: tuple[Step, ...] = ()

    @property
    def endpoint(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


class Choices:
    """Random picks, made deterministic: each run of a walk takes the next combination."""

    def __init__(self) -> None:
        self._path: list[list[int]] = []
        self._at = 0

    def pick(self, count: int) -> int:
        """A number below `count`; every one of them in some run."""
        if self._at == len(self._path):
            self._path.append([0, count])
        self._at += 1
        return self._path[self._at - 1][0]

    def _next(self) -> bool:
        del self._path[self._at :]
        while self._path and self._path[-1][0] + 1 >= self._path[-1][1]:
            self._path.pop()
        if not self._path:
            return False
        self._path[-1][0] += 1
        self._at = 0
        return True

    def every(self, walk: Callable[[], T]) -> list[T]:
        """The results of `walk` for every combination of the picks that it makes."""
        results = [walk()]
        while self._next():
            results.append(walk())
        return results
