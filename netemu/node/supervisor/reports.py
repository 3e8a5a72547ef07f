"""What a forked child says of its start: nothing once its command runs, else why it could not.

The pipe that it says so through closes at exec, or with the child.
"""

from __future__ import annotations

import json
import os

from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.starter import Started
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Reports:
    """Of all children that have not said anything yet."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._expected: dict[int, Callable[[], None]] = {}
        """PID → how to hear whether its command could start."""

    def expect(self, started: Started, heard: Callable[[Message], None]) -> None:
        """Call `heard` with why the command could not start, or with nothing once it has."""
        os.set_blocking(started.report, False)

        def hear(ended: bool = False) -> None:
            try:
                text = os.read(started.report, 4096)
            except BlockingIOError:
                if not ended:
                    return
                text = b""  # a child that was forked meanwhile has the other end open still
            del self._expected[started.pid]
            self._loop.forget(started.report)
            os.close(started.report)
            heard(json.loads(text) if text else {})

        self._expected[started.pid] = lambda: hear(ended=True)
        self._loop.watch(started.report, lambda _: hear())

    def hear_last(self, pid: int) -> None:
        """The child has ended, and that may be told to us before what it said."""
        if pid in self._expected:
            self._expected[pid]()
