"""Run the benchmarks named on the command line, or all: each `bench_<area>.py` beside this file.

A benchmark module has `run() -> dict[str, float | dict]`: figures by name, ratios among them. The
floor or the peer is measured in the same run, because these machines are shared and noisy.
`--add NAME FILE AREA` puts another run's report into that of AREA.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = Path(os.environ.get("NETEMU_BENCH_RESULTS", HERE.parents[1] / "build" / "bench"))


def areas() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def load(area: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"bench_{area}", HERE / f"bench_{area}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as flat rows."""
    found: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            found += rows(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def add(name: str, file: str, area: str) -> int:
    """Put the report in `file`, of another machine's run, into the area's report as `name`."""
    path = RESULTS / f"{area}.json"
    report = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    report["figures"][name] = json.loads(Path(file).read_text())["figures"]
    path.write_text(json.dumps(report, indent=1))
    return 0


def main(wanted: list[str]) -> int:
    if wanted[:1] == ["--add"]:
        return add(*wanted[1:])
    unknown = set(wanted) - set(areas())
    if unknown:
        print(f"bench: unknown: {', '.join(sorted(unknown))}; there are {', '.join(areas())}")
        return 2
    sys.path.insert(0, str(HERE))
    RESULTS.mkdir(parents=True, exist_ok=True)
    for area in wanted or areas():
        print(f"== {area}", flush=True)
        figures = load(area).run()
        report = {
            "date": time.strftime("%Y-%m-%d"),
            "kernel": platform.release(),
            "figures": figures,
        }
        (RESULTS / f"{area}.json").write_text(json.dumps(report, indent=1))
        flat = rows(figures)
        width = max((len(name) for name, _ in flat), default=0)
        for name, value in flat:
            print(f"{name:{width}}  {show(value)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
