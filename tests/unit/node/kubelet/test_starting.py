"""Starts that go on side by side, and what a runtime's death means for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from netemu.aio import spawn
from netemu.errors import DataplaneError
from netemu.node.kubelet import starting
from netemu.node.kubelet.runtime import Runtime
from netemu.node.kubelet.states import PROCESS, STAND_IN
from netemu.node.ledger import Ledger


async def test_a_failed_start_is_told_when_the_others_are_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through = []

    async def start(worker: Any, state: str) -> None:
        if state == "bad":
            raise DataplaneError("node-1", "start")
        await asyncio.sleep(0)
        through.append(state)

    monkeypatch.setattr(starting, "start_container", start)
    with pytest.raises(DataplaneError):
        await starting.start_containers(None, ["bad", "good"])  # type: ignore[arg-type, list-item]
    assert through == ["good"]


async def test_a_start_fails_with_its_own_runtime_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(tmp_path, "group", Ledger(tmp_path))
    asked = asyncio.Event()

    async def request(op: str, **fields: Any) -> dict[str, Any]:
        asked.set()
        return {}

    monkeypatch.setattr(runtime.processes, "request", request)
    async with asyncio.TaskGroup() as group:
        running = spawn(group, runtime.run(), name="runtime")
        start = spawn(group, runtime.start_process({"id": "c1"}), name="start")
        await asked.wait()
        runtime._lost(STAND_IN)
        runtime._event({"event": "started", "container": {"id": "c1", "state": "running"}})
        assert (await start)["state"] == "running"
        asked.clear()
        start = spawn(group, _refused(runtime), name="start")
        await asked.wait()
        runtime._lost(PROCESS)
        await start
        running.cancel()


async def _refused(runtime: Runtime) -> None:
    with pytest.raises(DataplaneError, match="the supervisor has ended"):
        await runtime.start_process({"id": "c2"})
