"""What containers write: from their pipes into their logs, and to whoever is attached.

One that writes without end must not take this process from the others, so each has a rate: beyond
it its pipe is left full for the rest of the second, and the writer waits.
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import os
import time

from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.records import Container
from netemu.node.supervisor.starter import Started

RATE = 8 * 1024 * 1024
"""Bytes of one container that are read in a second."""
_READ = 1 << 16
_ALL = 64
"""Reads that empty any pipe (it holds 64 kB unless somebody made it larger)."""


class Output:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def follow(self, container: Container, started: Started) -> None:
        """Read a new container's output from now on."""
        if started.terminal >= 0:
            self._open(container, started.terminal, "stdout")
        elif started.stdout >= 0:
            self._open(container, started.stdout, "stdout")
            self._open(container, started.stderr, "stderr")

    def _open(self, container: Container, descriptor: int, stream: str) -> None:
        os.set_blocking(descriptor, False)
        container.pipes[descriptor] = stream
        self._watch(container, descriptor)

    def _watch(self, container: Container, descriptor: int) -> None:
        self._loop.watch(descriptor, lambda _: self._ready(container, descriptor))

    def _ready(self, container: Container, descriptor: int) -> None:
        moved = self._move(container, descriptor)
        if moved < 0:
            self._close(container, descriptor)
            return
        now = time.monotonic()
        if now - container.second >= 1:
            container.second, container.written = now, 0
        container.written += moved
        if container.written > RATE:
            self._loop.forget(descriptor)
            self._loop.after(1.0, lambda: self._again(container, descriptor))

    def _again(self, container: Container, descriptor: int) -> None:
        if descriptor in container.pipes:
            self._watch(container, descriptor)

    def _move(self, container: Container, descriptor: int) -> int:
        """Move one read's worth; how much it was, -1 at the end of the stream."""
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return 0
        except OSError:
            return -1  # EIO: the terminal's other end is closed
        if not data:
            return -1
        stream = container.pipes[descriptor]
        if container.log:
            container.log.feed(stream, data)
        for reader in list(container.attached):
            if not reader.feed(stream, data):
                container.attached.remove(reader)
                reader.close()
        return len(data)

    def _close(self, container: Container, descriptor: int) -> None:
        if container.pipes.pop(descriptor, None) is not None:
            self._loop.forget(descriptor)
            if descriptor != container.terminal:
                os.close(descriptor)

    def finish(self, container: Container) -> None:
        """A container has ended: take what is left, and close everything of it."""
        for descriptor in list(container.pipes):
            for _ in range(_ALL):
                if self._move(container, descriptor) <= 0:
                    break
            self._close(container, descriptor)
        for descriptor in (container.stdin, container.terminal):
            if descriptor >= 0:
                os.close(descriptor)
        container.stdin = container.terminal = -1
        for reader in container.attached:
            reader.close()
        container.attached.clear()
        if container.log:
            container.log.close()
