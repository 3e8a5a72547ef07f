"""Wait until new ports of a bridge pass frames on.

The kernel notices a new carrier in a work queue (linkwatch), so for some milliseconds after both
ends of a pair are up, frames vanish. The CNI bridge plugin waits for the same reason; we ask for
all ports of a batch at once.
bridge(8)
"""

from __future__ import annotations

import time
from collections.abc import Collection

from netemu.node.netlink import NetlinkSocket
from netemu.node.network_observe import observe_forwarding, observe_operational

PATIENCE = 3.0
_PAUSE = 0.0005


def wait_forwarding(
    netlink: NetlinkSocket, bridge: int, ports: Collection[int], *, patience: float = PATIENCE
) -> set[int]:
    """Block until all `ports` of `bridge` (indexes) forward; those that do not after `patience`.

    A bridge has a carrier, and a queue, from its first forwarding port on.
    """
    if not ports:
        return set()
    deadline = time.monotonic() + patience
    while True:
        missing = set(ports) - observe_forwarding(netlink)
        if not missing and not observe_operational(netlink, bridge):
            missing = set(ports)
        if not missing or time.monotonic() > deadline:
            return missing
        time.sleep(_PAUSE)


def wait_operational(netlink: NetlinkSocket, index: int, *, patience: float = PATIENCE) -> bool:
    """Block until a link can send; False when it cannot after `patience`."""
    deadline = time.monotonic() + patience
    while not observe_operational(netlink, index):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
