"""What a running daemon can be asked for beyond the API: its machines and their proxy modes.

One request a connection on the root-only socket `control.sock`: a JSON line `{"op": …, …}`,
answered by `{"ok": …}` or `{"error": …, "hint": …}`. These are acts on the emulated hardware,
which no Kubernetes API has words for.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from netemu.cluster import state
from netemu.cluster.nodes import Nodes
from netemu.config import NodeConfig
from netemu.errors import NetemuError

Operation = Callable[[dict[str, Any]], Awaitable[Any]]


class Control:
    """Serves requests on `path` for `nodes`."""

    def __init__(self, path: Path, nodes: Nodes) -> None:
        self._path, self._nodes = path, nodes
        self._lock = asyncio.Lock()
        self._operations: dict[str, Operation] = {
            "node-add": self._add,
            "node-delete": lambda request: nodes.delete(request["name"]),
            "node-stop": lambda request: nodes.stop(request["name"]),
            "node-start": lambda request: nodes.start(request["name"]),
            "proxy-mode": lambda request: nodes.set_proxy_mode(
                request["mode"], request.get("node", "")
            ),
            "rules": lambda request: nodes.rules(
                request["node"], request.get("family", 4), request.get("service", "")
            ),
        }

    async def _add(self, request: dict[str, Any]) -> None:
        node = NodeConfig(
            name=request["name"],
            labels=request.get("labels") or {},
            proxy_mode=request.get("proxyMode", ""),
        )
        await self._nodes.add(node)

    async def run(self) -> None:
        """Until cancelled."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._serve, str(self._path))
        finally:
            os.umask(before)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except OSError:
            pass  # whoever asked has gone
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            operation = self._operations[request["op"]]
            async with self._lock:
                return {"ok": await operation(request)}
        except NetemuError as error:
            return {"error": str(error), "hint": error.hint}
        except (ValueError, KeyError, TypeError) as error:
            return {"error": f"bad request: {error}"}


def ask(name: str, op: str, /, **arguments: Any) -> Any:
    """Ask cluster `name`'s daemon; blocks. NetemuError says what went wrong."""
    path = state.RUN_ROOT / name / "control.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError as error:
            if name not in state.clusters():
                raise state.NoSuchCluster(name) from error
            raise NetemuError(
                f'the daemon of cluster "{name}" is not running', hint=f"netemu up --name {name}"
            ) from error
        sock.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        with sock.makefile("rb") as answers:
            answer = json.loads(answers.readline() or b"{}")
    if "ok" not in answer:
        why = answer.get("error", "the daemon ended while it worked on this")
        raise NetemuError(why, hint=answer.get("hint", ""))
    return answer["ok"]
