"""Counters, gauges and histograms in Prometheus' text format, with CoreDNS's names.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

DURATIONS = tuple(0.00025 * 2**power for power in range(16))
SIZES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)

Labels = tuple[str, ...]


class Family:
    """All series of one counter or gauge; `series` maps label values to the value."""

    def __init__(self, name: str, help_: str, kind: str, labels: Sequence[str]) -> None:
        self.name, self.help, self.kind, self.labels = name, help_, kind, tuple(labels)
        self.series: dict[Labels, float] = {}

    def add(self, values: Labels = (), amount: float = 1) -> None:
        self.series[values] = self.series.get(values, 0) + amount

    def set(self, values: Labels, value: float) -> None:
        self.series[values] = value

    def render(self) -> list[str]:
        return [
            f"{self.name}{_labels(self.labels, values)} {_number(value)}"
            for values, value in sorted(self.series.items())
        ]


class Histogram:
    """All series of one histogram."""

    kind = "histogram"

    def __init__(
        self, name: str, help_: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        self.name, self.help, self.labels = name, help_, tuple(labels)
        self.bounds = tuple(bounds)
        self.series: dict[Labels, list[float]] = {}
        """For each label set: a count for each bucket, the last for +Inf, then the sum."""

    def add(self, values: Labels, value: float, count: int = 1) -> None:
        series = self.series.get(values)
        if series is None:
            series = self.series[values] = [0.0] * (len(self.bounds) + 2)
        series[bisect_left(self.bounds, value)] += count
        series[-1] += value * count

    def render(self) -> list[str]:
        lines = []
        for values, series in sorted(self.series.items()):
            total = 0.0
            for bound, count in zip((*self.bounds, None), series, strict=False):
                total += count
                text = "+Inf" if bound is None else _number(bound)
                labels = _labels((*self.labels, "le"), (*values, text))
                lines.append(f"{self.name}_bucket{labels} {_number(total)}")
            labels = _labels(self.labels, values)
            lines.append(f"{self.name}_sum{labels} {_number(series[-1])}")
            lines.append(f"{self.name}_count{labels} {_number(total)}")
        return lines


class Registry:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._families: dict[str, Family | Histogram] = {}
        self._before: list[Callable[[], None]] = []

    def counter(self, name: str, help_: str, labels: Sequence[str] = ()) -> Family:
        return self._family(name, help_, "counter", labels)

    def gauge(self, name: str, help_: str, labels: Sequence[str] = ()) -> Family:
        return self._family(name, help_, "gauge", labels)

    def histogram(
        self, name: str, help_: str, labels: Sequence[str] = (), bounds: Sequence[float] = DURATIONS
    ) -> Histogram:
        found = self._families.setdefault(name, Histogram(name, help_, labels, bounds))
        assert isinstance(found, Histogram)
        return found

    def before_render(self, hook: Callable[[], None]) -> None:
        """Call `hook` before each scrape: for values that are kept elsewhere meanwhile."""
        self._before.append(hook)

    def render(self) -> str:
        for hook in self._before:
            hook()
        lines = []
        for name, family in sorted(self._families.items()):
            if family.series:
                lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
                lines += family.render()
        return "\n".join(lines) + "\n"

    def _family(self, name: str, help_: str, kind: str, labels: Sequence[str]) -> Family:
        found = self._families.setdefault(name, Family(name, help_, kind, labels))
        assert isinstance(found, Family)
        return found


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
