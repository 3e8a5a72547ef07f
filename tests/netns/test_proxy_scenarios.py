"""Every scenario with real packets, in each mode that this kernel has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import proxy_world as world
from netemu.node import capabilities
from scenarios import scenario

pytestmark = [pytest.mark.netns, pytest.mark.needs("veth", "bridge")]
ALL = list(scenario.every())
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}


MODES = [pytest.param(mode, marks=pytest.mark.needs(NEEDS[mode])) for mode in scenario.MODES]


@pytest.fixture(autouse=True)
def _unchanged_by_each() -> None:
    """All cases share one world; that it goes without a trace is the session's own check."""


@pytest.fixture(scope="module")
def built() -> Iterator[None]:
    world.destroy()
    world.build()
    yield
    world.destroy()


@pytest.fixture(scope="module", params=MODES)
def proxies(built: None, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both nodes' proxies in one mode; all cases of a mode run in a row."""
    here = world.World(request.param)
    yield here
    asyncio.run(here.close())


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
async def test_flows(proxies: Any, case: Any) -> None:
    servers = world.Servers()
    try:
        for step in case.steps:
            await proxies.apply(step)
            servers.serve(world.endpoints_of(step))
            await world.check_step(step, proxies.mode)
    except BaseException:
        await proxies.close()  # the next case starts from nothing
        raise
    finally:
        servers.close()


def test_this_kernel_was_asked() -> None:
    capabilities.require("netns")
