"""`kill -9` between any two steps: cleaning up leaves nothing, and a new run goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import host_state
from netemu.config import ClusterConfig
from netemu.node import cleanup

pytestmark = [pytest.mark.netns, pytest.mark.needs("veth", "bridge")]

CONFIG = ClusterConfig(name="crash")
MOST_STEPS = 300


class Life:
    """The process that lives and dies."""

    def __init__(self) -> None:
        script = str(Path(__file__).parent / "crashing.py")
        self.process = subprocess.Popen(
            [sys.executable, script, CONFIG.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, step: int) -> str:
        """Live until `step`: `killed N`, or `done` when there are not so many steps."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def life() -> Iterator[Life]:
    lives = Life()
    yield lives
    with lives.process as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0


def test_killed_at_any_step_and_cleaned_up(life: Life) -> None:
    before = host_state.observe()
    for step in range(1, MOST_STEPS):
        outcome = life.until(step)
        report = cleanup.clean(CONFIG.run_dir)
        assert report.left == [], outcome
        assert not CONFIG.run_dir.exists(), outcome
        left = host_state.wait_until_as(before)
        assert left == [], "\n".join([outcome, *left])
        if outcome == "done":
            assert step > 50
            return
        assert outcome == f"killed {step}"
    pytest.fail("more steps than expected")


def test_killed_at_any_step_and_started_again(life: Life) -> None:
    """Each life adopts what the one before left half-made, and the last one takes all away."""
    for step in range(1, MOST_STEPS):
        outcome = life.until(step)
        if outcome == "done":
            break
        assert outcome == f"killed {step}"
    assert life.until(MOST_STEPS * 10) == "done"
    assert not CONFIG.run_dir.exists()


def test_cleaning_twice_is_fine(life: Life) -> None:
    assert life.until(40) == "killed 40"
    assert cleanup.clean(CONFIG.run_dir).left == []
    assert cleanup.clean(CONFIG.run_dir).removed == {}
