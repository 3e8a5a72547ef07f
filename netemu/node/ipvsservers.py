"""A node's virtual servers, changed as kube-proxy changes them. Blocking: helper threads.

A TCP server that goes while it has connections gets weight 0 first and is removed once they have
ended; UDP and SCTP servers go at once.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/graceful_termination.go
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from netemu.netstate import ipvswire as wire
from netemu.netstate.ipvs import Changes, Real, Server, Servers, Virtual, diff
from netemu.netstate.ipvswire import Request
from netemu.node.ipvssocket import GONE, IpvsSocket

_TRIAL = {4: Virtual("255.255.255.255", "tcp", 9), 6: Virtual("ff02::1", "tcp", 9)}
"""TCP knows no broadcast and no multicast."""


class VirtualServers:
    """Those of the namespace that `socket` is in."""

    def __init__(self, socket: IpvsSocket) -> None:
        self._socket = socket
        self._draining: set[tuple[Virtual, Real]] = set()
        """Servers with weight 0 that still have connections."""

    def change(self, old: Servers, new: Servers) -> None:
        """Make `new` of `old`. Raises DataplaneError for the first thing that is refused."""
        changes = diff(old, new)
        requests: list[Request] = [(wire.NEW_SERVICE, v, new[v], None) for v in changes.added]
        requests += [(wire.SET_SERVICE, v, new[v], None) for v in changes.updated]
        requests += self._taken_back(changes)
        self._socket.apply_requests(requests, ignore=GONE)
        requests = [(wire.NEW_DEST, virtual, None, real) for virtual, real in changes.added_reals]
        self._socket.apply_requests(requests, ignore=(errno.EEXIST,))
        requests = [(wire.SET_DEST, virtual, None, real) for virtual, real in changes.updated_reals]
        requests += [(wire.DEL_SERVICE, virtual, None, None) for virtual in changes.removed]
        self._socket.apply_requests(requests, ignore=GONE)
        removed = set(changes.removed)
        self._draining = {(v, r) for v, r in self._draining if v not in removed}
        for virtual, real in changes.removed_reals:
            self._remove(virtual, real)

    def try_out(self, servers: Servers) -> None:
        """Have the kernel judge `servers`: their real ones behind an address nobody can reach.

        Each once: it keeps those removed for two minutes, and looks for new ones among them.
        """
        trials: dict[tuple[int, str], set[Real]] = {}
        for virtual, server in servers.items():
            self._socket.encode((wire.NEW_SERVICE, virtual, server, None))
            family = 6 if ":" in virtual.address else 4
            trials.setdefault((family, server.scheduler), set()).update(server.reals)
        for (family, scheduler), reals in trials.items():
            self._try_reals(_TRIAL[family], Server(scheduler=scheduler, reals=frozenset(reals)))

    def _try_reals(self, trial: Virtual, server: Server) -> None:
        requests: list[Request] = [(wire.NEW_SERVICE, trial, server, None)]
        requests += [(wire.NEW_DEST, trial, None, real) for real in sorted(server.reals)]
        try:
            self._socket.apply_requests(requests)
        finally:
            self._socket.apply_requests([(wire.DEL_SERVICE, trial, None, None)], ignore=GONE)

    def _taken_back(self, changes: Changes) -> list[Request]:
        """What drains and is wanted again is removed: it comes anew, with its weight."""
        if not self._draining:
            return []
        back = self._draining & _quiet(changes.added_reals)
        self._draining -= back | _quiet(changes.updated_reals)
        return [(wire.DEL_DEST, virtual, None, real) for virtual, real in sorted(back)]

    def _remove(self, virtual: Virtual, real: Real) -> None:
        if virtual.protocol != "tcp" or not self._has_connections(virtual, real):
            self._delete([(virtual, real)])
            return
        quiet = Real(real.address, real.port, 0)
        self._socket.apply_requests([(wire.SET_DEST, virtual, None, quiet)], ignore=GONE)
        self._draining.add((virtual, quiet))

    def _delete(self, pairs: Iterable[tuple[Virtual, Real]]) -> None:
        requests: list[Request] = [(wire.DEL_DEST, virtual, None, real) for virtual, real in pairs]
        self._socket.apply_requests(requests, ignore=GONE)

    def _has_connections(self, virtual: Virtual, real: Real) -> bool:
        for found, counts in self._socket.observe_connections(virtual).items():
            if (found.address, found.port) == (real.address, real.port):
                return counts.active + counts.inactive > 0
        return False

    @property
    def drains(self) -> bool:
        """Whether servers wait for the end of their connections."""
        return bool(self._draining)

    def delete_drained(self) -> None:
        """Delete those whose last connection has ended."""
        ended = [pair for pair in sorted(self._draining) if not self._has_connections(*pair)]
        self._delete(ended)
        self._draining.difference_update(ended)


def _quiet(pairs: Iterable[tuple[Virtual, Real]]) -> set[tuple[Virtual, Real]]:
    return {(virtual, Real(real.address, real.port, 0)) for virtual, real in pairs}
