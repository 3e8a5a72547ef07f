"""A network namespace without a name, for a short look at what the kernel can do.

network_namespaces(7)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from netemu.node import syscalls


@contextmanager
def throwaway_namespace() -> Iterator[str]:
    """A path at which the namespace is found until the block ends. OSError when not allowed."""
    opened: list[int | OSError] = []

    def make() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            opened.append(error)

    thread = threading.Thread(target=make, name="netns-throwaway")
    thread.start()
    thread.join()
    result = opened[0]
    if isinstance(result, OSError):
        raise result
    try:
        yield f"/proc/{os.getpid()}/fd/{result}"
    finally:
        os.close(result)
