"""The resolver's checklist (tests/scenarios/dns/cases), asked from a pod over UDP and TCP."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

CASES = Path(__file__).parents[1] / "scenarios" / "dns"


def ask_from(netns: str, files: Iterable[str], chosen: Callable[[str], bool], folder: Path) -> int:
    """How many were asked of kube-dns: the rows of `files` that are `chosen`; all must hold.

    `folder` is where they are put together.
    """
    for file in files:
        blocks = (CASES / "cases" / f"{file}.txt").read_text().split("\n\n")
        (folder / f"{file}.txt").write_text("\n\n".join(block for block in blocks if chosen(block)))
    listed = [str(path) for path in sorted(folder.glob("*.txt"))]
    done = subprocess.run(
        ["ip", "netns", "exec", netns]
        + [sys.executable, str(CASES / "blackbox.py"), "10.96.0.10", *listed],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    asked = re.search(r"(\d+) asked, 0 failed", done.stdout)
    assert asked is not None, done.stdout
    return int(asked[1])
