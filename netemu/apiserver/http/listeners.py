"""Where the server listens: a unix socket for root, and loopback TCP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer


class Listeners:
    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def open(self, group: asyncio.TaskGroup) -> None:
        """Start to listen."""

    async def close(self) -> None:
        """End all connections."""
