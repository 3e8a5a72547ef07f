"""New network namespaces with nothing but a loopback, made by one thread while others use them.

Making one takes the kernel 0.3 to 0.5 ms, about as long as linking it, so it pays to do both at
once; and it pays more to have some made before anybody waits. Those `keep` are made when no pod
was added for a while. Nobody else knows of them, and they end with this process.

network_namespaces(7), unshare(2)
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType

from netemu.errors import DataplaneError
from netemu.node import syscalls
from netemu.node.link_messages import LOOPBACK_INDEX, set_link
from netemu.node.netlink import NetlinkSocket

_AHEAD = 32
"""How many namespaces may wait for pods that are being added."""
_REST = 0.3
"""Seconds since the last pod, after which namespaces are made to be kept."""

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Bare:
    """A new namespace: its descriptor, and a socket inside."""

    descriptor: int
    netlink: NetlinkSocket

    def close(self) -> None:
        self.netlink.close()
        os.close(self.descriptor)


class BareNamespaces:
    """Makes namespaces for any number of takers; closed, it lets go of those nobody took."""

    def __init__(self, keep: int = 0) -> None:
        """`keep`: how many to have ready; each costs the kernel about 0.2 MB."""
        self._keep = keep
        self._made: deque[Bare] = deque()
        self._demand = 0
        self._idle_from = _NEVER
        self._failed: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="netns-maker", daemon=True)
        self._thread.start()

    def __enter__(self) -> BareNamespaces:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def take(self, count: int) -> Generator[Bare, None, None]:
        """Yields `count`, which belong to the taker; DataplaneError when the kernel refuses."""
        with self._changed:
            self._demand += count
            self._failed = None
            self._changed.notify_all()
        try:
            while count:
                bare = self._next()
                count -= 1
                yield bare
        finally:
            with self._changed:
                self._demand -= count
                self._idle_from = time.monotonic() + _REST

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        while self._made:
            self._made.popleft().close()

    def _next(self) -> Bare:
        with self._changed:
            self._changed.wait_for(lambda: self._made or self._failed)
            if not self._made:
                why = str(self._failed)
                raise DataplaneError("pod network", "create namespace", stderr=why)
            self._demand -= 1
            self._changed.notify_all()
            return self._made.popleft()

    def _run(self) -> None:
        """The thread's life; with it ends its membership in the last namespace."""
        while self._wait():
            made: Bare | None = None
            failed: Exception | None = None
            try:
                made = make_namespace()
            except (OSError, DataplaneError) as error:
                failed = error
            with self._changed:
                self._failed = failed
                if made is not None:
                    self._made.append(made)
                self._changed.notify_all()

    def _wait(self) -> bool:
        """Until one more is wanted; False at the end."""
        with self._changed:
            while not self._closed and not self._wanted():
                self._changed.wait(self._rest())
            return not self._closed

    def _rest(self) -> float | None:
        """Seconds until one is wanted without anybody asking; None when that is never."""
        enough = self._failed is not None or len(self._made) >= self._keep
        if self._demand or enough or self._idle_from == _NEVER:
            return None
        return max(self._idle_from - time.monotonic(), 0.0)

    def _wanted(self) -> bool:
        if self._failed is not None:
            return False  # until somebody asks again
        if self._demand:
            return len(self._made) < min(self._demand, _AHEAD)
        return len(self._made) < self._keep and time.monotonic() >= self._idle_from


def make_namespace() -> Bare:
    """Move this thread to a new namespace, and hold that."""
    syscalls.unshare(syscalls.CLONE_NEWNET)
    bare = Bare(
        os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), NetlinkSocket("pod")
    )
    try:
        bare.netlink.request([set_link(LOOPBACK_INDEX, up=True)])
    except DataplaneError:
        bare.close()
        raise
    return bare
