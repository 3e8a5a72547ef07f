"""Forgetting the neighbours that a large `pingall` teaches pods.

Two pods of a node learn each other's link address with their first packet. The kernel keeps at
most 1,024 such entries for all namespaces of the machine together (gc_thresh3, arp(7)), and refuses
new ones for seconds once it is full: 100 pods of one node have 9,900 pairs. So in a large run each
pair's entries are taken out again as soon as its answer is there.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netemu.errors import DataplaneError
from netemu.node import netns
from netemu.node.inet_messages import delete_neighbour

if TYPE_CHECKING:
    from netemu.cli.prober import Pair, Peer
    from netemu.node.netlink import NetlinkSocket

PLENTY = 400
"""Entries that a run may add without a thought; pods that talk to each other need some too."""


def share_a_bridge(pair: Pair) -> bool:
    """Whether the two learn each other's link address: pods of one node do."""
    source, target = pair
    return bool(source.bridge) and source.bridge == target.bridge


def are_many(pairs: Sequence[Pair]) -> bool:
    return sum(map(share_a_bridge, pairs)) > PLENTY


class Forgetful:
    """Removes the entries that one pair's packets made. Use as a context; it owns sockets."""

    def __init__(self) -> None:
        self._sockets: dict[str, tuple[NetlinkSocket, int]] = {}

    def __enter__(self) -> Forgetful:
        return self

    def __exit__(self, *exception: object) -> None:
        for sock, _ in self._sockets.values():
            sock.close()

    def forget(self, pair: Pair) -> None:
        source, target = pair
        if share_a_bridge(pair):
            self._delete(source, target.address)
            self._delete(target, source.address)

    def _delete(self, peer: Peer, address: str) -> None:
        try:
            sock, index = self._sockets.get(peer.netns) or self._open(peer.netns)
            sock.request([delete_neighbour(index, address)], ignore={errno.ENOENT})
        except (DataplaneError, OSError):
            return  # the pod may be going away: then its entries go with it

    def _open(self, path: str) -> tuple[NetlinkSocket, int]:
        from netemu.node.netlink import NetlinkSocket

        opened = netns.call_in(path, lambda: (NetlinkSocket(path), socket.if_nametoindex("eth0")))
        self._sockets[path] = opened
        return opened
