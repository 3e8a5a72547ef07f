"""What a developer runs by hand says what it is for, before it does anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
COMMANDS = sorted(path.name for path in SCRIPTS.iterdir() if os.access(path, os.X_OK))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_comment_at_its_head(name: str) -> None:
    done = subprocess.run(
        [SCRIPTS / name, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.splitlines()[0].strip()
    assert first and first in (SCRIPTS / name).read_text()
    assert not first.startswith("bootstrap:")
