"""Every scenario with real packets, in each mode that this kernel has."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netemu.node import capabilities


def _load(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


_here = Path(__file__).parent
scenario: Any = _load("netemu_scenario", _here.parent / "scenarios" / "scenario.py")
world: Any = _load("proxy_world", _here / "proxy_world.py")

pytestmark = [pytest.mark.netns, pytest.mark.needs("veth", "bridge")]
ALL = list(scenario.every())
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}


def _modes() -> Iterator[Any]:
    for mode in scenario.MODES:
        yield pytest.param(mode, marks=pytest.mark.needs(NEEDS[mode]), id=mode)


@pytest.fixture(scope="module")
def built() -> Iterator[None]:
    world.destroy()
    world.build()
    yield
    world.destroy()


@pytest.mark.parametrize("mode", list(_modes()))
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
async def test_flows(built: None, case: Any, mode: str) -> None:
    here = world.World(mode)
    try:
        for step in case.steps:
            await here.apply(step)
            await world.check_step(step, mode)
    finally:
        await here.close()


def test_this_kernel_was_asked() -> None:
    capabilities.require("netns")
