"""What a command loads: the whole control plane belongs into the daemon."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "asyncio", "cryptography", "pyroute2", "rich")
SLOW = ("difflib", "email", "pathlib", "ssl", "traceback", "urllib")
"""Of the standard library: together they would double what `apply` takes to start."""


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("netemu.cli.main, netemu.cli.apply, netemu.cli.discovery", HEAVY + SLOW),
        ("netemu.cli.main, netemu.cli.lifecycle, netemu.cluster.down", ("aiohttp", "cryptography")),
        ("netemu.cli.main, netemu.cli.lifecycle, netemu.cluster.up", ("aiohttp", "cryptography")),
    ],
)
def test_commands_are_light(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
