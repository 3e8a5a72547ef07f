"""What the API server asks of the node that runs a pod: its logs, a command, a port.

In Kubernetes this is the kubelet's HTTPS port 10250; here the agents of one daemon are called
directly, and `cluster` wires them to the API server, which must not know `node`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """The query of `GET pods/{name}/log`."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_time: float | None = None
    """Seconds since the epoch."""
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that a command wrote; `stream` is 1 for standard output, 2 for standard error."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer of the kubelet's own HTTP server; `parts` instead of `body` when it is long."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    parts: AsyncIterator[bytes] | None = None


class ExecSession(Protocol):
    """A command that runs in a container."""

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    def output(self) -> AsyncIterator[Output]: ...

    async def wait(self) -> int:
        """Its exit code; 128 + N when signal N ended it."""

    async def kill(self) -> None: ...


class PortSession(Protocol):
    """A TCP connection to a port inside a pod's network namespace."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """Nothing more will be written; what comes can still be read."""

    async def close(self) -> None: ...


class KubeletApi(Protocol):
    """One node's kubelet, as the API server sees it. Unknown pods and containers: ApiError."""

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]: ...

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> ExecSession: ...

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool = False, tty: bool = False
    ) -> ExecSession: ...

    async def connect(self, namespace: str, pod: str, port: int) -> PortSession: ...

    async def dial(self, address: str, port: int) -> socket.socket:
        """A TCP connection from the node itself, non-blocking; OSError when there is no way."""

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        """What `GET path` on the kubelet's port answers; unknown paths are a page with 404."""
