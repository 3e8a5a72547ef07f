"""TCP sockets born in the node's network namespace, for probes and hooks.

Entering a namespace takes a helper thread; one visit brings several sockets home.
"""

from __future__ import annotations

import asyncio
import socket

from netemu.node import netns

_AT_ONCE = 16


class NodeSockets:
    def __init__(self, netns_path: str) -> None:
        self._netns = netns_path
        self._spare: dict[int, list[socket.socket]] = {}

    async def connect(self, address: str, port: int) -> socket.socket:
        """A connected, non-blocking socket. Raises OSError; the caller sets the time limit."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        spare = self._spare.setdefault(family, [])
        while not spare:  # filled by the helper itself: whoever waits for it may be cancelled
            await netns.await_in(
                self._netns, lambda: spare.extend(_new(family) for _ in range(_AT_ONCE))
            )
        sock = spare.pop()
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        for sockets in self._spare.values():
            for sock in sockets:
                sock.close()
        self._spare.clear()


def _new(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock
