"""A command in a container and a client far away: what goes in, what comes out, how it ended.

https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/exec.go
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from netemu.aio import spawn
from netemu.api.kind import Object
from netemu.client.kubelet import ExecSession
from netemu.errors import ApiError, NetemuError

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
"""Channel numbers of the WebSocket protocols; `Output.stream` uses the same."""
CLOSE = 255


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for standard input; empty when it ends."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    columns: int
    rows: int


class Peer(Protocol):
    """The client's end, over whichever protocol."""

    def incoming(self) -> AsyncIterator[Input | Resize]:
        """What it sends; ends when the client has gone."""

    async def send(self, channel: int, data: bytes) -> None: ...

    async def finish(self, status: Object) -> None:
        """Tell how it ended, and close."""


async def serve_exec(peer: Peer, start: Callable[[], Awaitable[ExecSession]]) -> None:
    """Run a command for the client until it ends, or the client goes: then it is killed."""
    try:
        session = await start()
    except NetemuError as error:
        shown = error if isinstance(error, ApiError) else ApiError("InternalError", str(error))
        await peer.finish(shown.to_status())
        return
    await _join(peer, session)


async def _join(peer: Peer, session: ExecSession) -> None:
    code: int | None = None
    try:
        async with asyncio.TaskGroup() as group:
            reading = spawn(group, _forward_input(peer, session), name="exec-input")
            async for output in session.output():
                await peer.send(output.stream, output.data)
            code = await session.wait()
            reading.cancel()
        await peer.finish(exit_status(code))
    except* ConnectionError:
        pass  # nobody is left to be told
    finally:
        if code is None:
            await session.kill()


async def _forward_input(peer: Peer, session: ExecSession) -> None:
    async for item in peer.incoming():
        try:
            if isinstance(item, Resize):
                await session.resize(item.columns, item.rows)
            elif item.data:
                await session.write(item.data)
            else:
                await session.close_stdin()
        except (BrokenPipeError, ConnectionResetError):
            continue  # the command no longer reads; its output may still come
    await session.kill()


def exit_status(code: int) -> Object:
    """The Status by which clients learn an exit code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def read_resize(data: bytes) -> Resize | None:
    """`{"Width": 80, "Height": 24}`."""
    try:
        found = msgspec.json.decode(data)
        return Resize(int(found["Width"]), int(found["Height"]))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
