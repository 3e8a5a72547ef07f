"""build/bench/proxy.json as a picture: programming, changes, memory, connects, by Services.

Plain SVG, panels with logarithmic axes: it needs no library, and the README can show it.
Usage: python tests/bench/plot_proxy.py [OUTPUT.svg]
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "build" / "bench" / "proxy.json"
COLOURS = {
    "iptables": "#c0392b",
    "nftables": "#2471a3",
    "flat": "#1e8449",
    "ipvs": "#9a7d0a",
    "one rule": "#555",
    "direct": "#999",
    "bare": "#ccc",
}
PANELS = (
    ("full_s", "full sync, ms", 1000.0),
    ("change_endpoint_s", "one changed endpoint, ms", 1000.0),
    ("kernel_mib", "kernel memory, MiB", 1.0),
    ("connect_p50_us", "TCP connect p50, µs", 1.0),
)
CONNECT = "connect_p50_us"
WAYS = {"one rule": "single_p50_us", "direct": "direct_p50_us", "bare": "bare_p50_us"}
"""Connects without a proxy: through one lone DNAT rule, on a node that has the overlay's rules
only, and on one that has none at all."""
WIDTH, HEIGHT, MARGIN = 320, 240, 48


def _scale(values: list[float], length: float) -> tuple[float, float, Any]:
    low, high = math.log10(min(values) * 0.8), math.log10(max(values) * 1.25)
    return low, high, lambda value: (math.log10(value) - low) / (high - low) * length


def _points(rows: dict[str, Any], key: str, factor: float) -> list[tuple[int, float]]:
    """(Services, figure); what came out as nothing cannot stand on a logarithmic axis."""
    found = [(int(n), row[key] * factor) for n, row in rows.items() if n.isdigit() and key in row]
    return sorted((n, value) for n, value in found if value > 0)


def _panel(figures: dict[str, Any], key: str, title: str, factor: float, left: int) -> str:
    series = {mode: _points(rows, key, factor) for mode, rows in figures.items()}
    if key == CONNECT:
        series |= {way: _points(figures["flat"], WAYS[way], factor) for way in WAYS}
    series = {mode: points for mode, points in series.items() if points}
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    _, _, across = _scale([float(x) for x in xs], WIDTH - MARGIN - 12)
    low, high, up = _scale(ys, HEIGHT - 2 * MARGIN)
    bottom = HEIGHT - MARGIN
    parts = [f'<g transform="translate({left},0)"><text x="{MARGIN}" y="24">{title}</text>']
    parts += [
        f'<text x="{MARGIN + across(x):.0f}" y="{bottom + 18}" text-anchor="middle">{x}</text>'
        for x in sorted(set(xs))
    ]
    for power in range(math.ceil(low), math.floor(high) + 1):
        y = bottom - up(10.0**power)
        parts.append(
            f'<path d="M{MARGIN} {y:.1f}H{WIDTH - 12}" stroke="#ddd"/>'
            f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for mode, points in series.items():
        line = " ".join(f"{MARGIN + across(x):.1f},{bottom - up(y):.1f}" for x, y in points)
        colour = COLOURS[mode]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts) + "</g>"


def render(figures: dict[str, Any]) -> str:
    """The picture of what `bench_proxy.run` returned."""
    modes = [mode for mode in COLOURS if figures.get(mode)]
    named = modes + list(WAYS)
    panels = "".join(
        _panel({m: figures[m] for m in modes}, key, title, factor, i * WIDTH)
        for i, (key, title, factor) in enumerate(PANELS)
    )
    legend = "".join(
        f'<text x="{MARGIN + i * 90}" y="{HEIGHT - 6}" fill="{COLOURS[mode]}">{mode}</text>'
        for i, mode in enumerate(named)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(PANELS)}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{panels}{legend}</svg>\n"
    )


def main(arguments: list[str]) -> int:
    output = Path(arguments[0]) if arguments else RESULTS.with_suffix(".svg")
    output.write_text(render(json.loads(RESULTS.read_text())["figures"]))
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
