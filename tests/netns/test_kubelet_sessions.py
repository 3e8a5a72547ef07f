"""Commands in containers and streams to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelets import sh
from netemu.aio import spawn
from netemu.errors import ApiError


async def test_exec_with_input_and_a_terminal(cluster: Any) -> None:
    await cluster.create("p", sh("sleep 1000"))
    await cluster.ready("p")
    session = await cluster.kubelet.exec("default", "p", "", ["cat"], stdin=True)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        reading = spawn(group, _all(session), name="read")
        await session.write(b"through" * 50_000)
        await session.close_stdin()
    assert (reading.result(), await session.wait()) == (b"through" * 50_000, 0)
    session = await cluster.kubelet.exec(
        "default", "p", "", ["sh", "-c", "stty size; exit 4"], tty=True
    )
    output = await _all(session)
    assert (output, await session.wait()) == (b"24 80\r\n", 4)
    session = await cluster.kubelet.exec("default", "p", "", ["nosuch"])
    output = await _all(session)
    assert await session.wait() == 127 and b'"nosuch": executable file not found' in output
    with pytest.raises(ApiError, match="container nope is not valid for pod p"):
        await cluster.kubelet.exec("default", "p", "nope", ["true"])


async def test_attach_follows_a_containers_own_output(cluster: Any) -> None:
    await cluster.create(
        "p", sh("while read x; do echo got $x; done", stdin=True), restartPolicy="Never"
    )
    await cluster.ready("p")
    session = await cluster.kubelet.attach("default", "p", "", stdin=True)
    await session.write(b"one\n")
    parts = session.output()
    assert (await anext(parts)).data == b"got one\n"
    await session.kill()


async def test_input_that_is_given_once_ends_with_its_giver(cluster: Any) -> None:
    container = sh("cat; echo end", stdin=True, stdinOnce=True)
    await cluster.create("p", container, restartPolicy="Never")
    await cluster.ready("p")
    session = await cluster.kubelet.attach("default", "p", "", stdin=True)
    await session.write(b"in\n")
    await session.close_stdin()
    assert await _all(session) == b"in\nend\n"
    assert await session.wait() == 0


async def _all(session: Any) -> bytes:
    return b"".join([part.data async for part in session.output()])
