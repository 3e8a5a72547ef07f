"""A process that builds pods' networks for the daemon, out of reach of its interpreter's lock.

Building a pod's network is a dozen system calls. In a thread of the daemon each of them gives the
interpreter's lock away and must get it back from a thread that computes: with 200 pods at once,
that costs both sides more than the kernel's work. So the daemon forks this process before it has
threads of its own; it takes orders over a socket and hands descriptors back:

    order:   msgpack (pods, bridge, name of the node)   + the node's netlink socket
    answer:  msgpack (uids built, refusals)             + descriptors of their namespaces

It owns nothing: what it built and did not hand over yet ends with it, and it ends with the daemon.
Without it (killed, or never started) the daemon builds by itself.
"""

from __future__ import annotations

import array
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from netemu.errors import DataplaneError
from netemu.node import sandbox
from netemu.node.bare_namespaces import BareNamespaces
from netemu.node.namespace_holder import raise_limit
from netemu.node.netlink import NetlinkSocket
from netemu.node.processes import Process
from netemu.node.sandbox import Bridge, PodLink

_FDS = 250
"""Descriptors in one message; the kernel takes 253 (SCM_MAX_FD)."""
_LARGEST = 1 << 18

_Order = tuple[list[PodLink], Bridge, str]
_Refused = tuple[str, str, str, int, str, str]
"""uid, and what a DataplaneError is made of."""
_Answer = tuple[list[str], list[_Refused]]
_Built = tuple[dict[str, int], dict[str, DataplaneError]]

Build = Callable[[Sequence[PodLink], Bridge, NetlinkSocket], _Built]
"""`sandbox.build`, or a builder's."""

_encode = msgspec.msgpack.encode
_order_of = msgspec.msgpack.Decoder(_Order).decode
_answer_of = msgspec.msgpack.Decoder(_Answer).decode


class NetworkMaker:
    """The daemon's side: `builder()` once a node."""

    def __init__(self, connection: socket.socket, process: Process) -> None:
        self._connection, self.process = connection, process

    @classmethod
    def fork(cls, *, close: Sequence[int] = ()) -> NetworkMaker:
        """Start it; only while this process has one thread. `close`: descriptors not for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            for descriptor in close:
                os.close(descriptor)
            _serve(theirs)
        theirs.close()
        return cls(ours, Process.of(pid))

    def builder(self) -> Build:
        """What builds like `sandbox.build`, for one caller at a time."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(self._connection, [b"1"], [theirs.fileno()])
        except OSError:
            ours.close()
            return sandbox.build
        finally:
            theirs.close()
        return _Builder(ours).build


class _Builder:
    def __init__(self, connection: socket.socket) -> None:
        self._connection: socket.socket | None = connection

    def build(self, pods: Sequence[PodLink], bridge: Bridge, node: NetlinkSocket) -> _Built:
        built: dict[str, int] = {}
        failed: dict[str, DataplaneError] = {}
        for start in range(0, len(pods), _FDS):
            page = pods[start : start + _FDS]
            done = self._ask(page, bridge, node) or sandbox.build(page, bridge, node)
            built |= done[0]
            failed |= done[1]
        return built, failed

    def _ask(self, pods: Sequence[PodLink], bridge: Bridge, node: NetlinkSocket) -> _Built | None:
        """None when the maker is gone: nothing of these is there."""
        if self._connection is None:
            return None
        order: _Order = (list(pods), bridge, node.where)
        try:
            socket.send_fds(self._connection, [_encode(order)], [node.fileno()])
            data, fds, _, _ = socket.recv_fds(self._connection, _LARGEST, _FDS)
        except OSError:
            data, fds = b"", []
        if not data:
            self._connection.close()
            self._connection = None
            return None
        for descriptor in fds:
            os.set_inheritable(descriptor, False)
        uids, refused = _answer_of(data)
        failed = {
            uid: DataplaneError(where, operation, errno=errno, stderr=stderr, hint=hint)
            for uid, where, operation, errno, stderr, hint in refused
        }
        return dict(zip(uids, fds, strict=True)), failed


_KEEP = 128
"""Namespaces made beforehand: those of a usual `apply` are ready when its pods are."""
_turn = threading.Lock()
"""Links are made under one lock of the kernel (rtnl), and who waits for it spins. One batch after
the other, the first node's pods go on their way while the next one's are made."""


def _serve(connection: socket.socket) -> NoReturn:
    """The maker's life: a thread for each builder, until the daemon has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise_limit()  # each node's batch holds its namespaces until its ports are up
    namespaces = BareNamespaces(_KEEP)
    try:
        while True:
            data, fds, _, _ = socket.recv_fds(connection, 16, 1)
            if not data:
                break
            for descriptor in fds:
                builder = socket.socket(fileno=descriptor)
                threading.Thread(
                    target=_take_orders, args=(builder, namespaces), daemon=True
                ).start()
    except OSError:
        pass
    finally:
        os._exit(0)


def _take_orders(connection: socket.socket, namespaces: BareNamespaces) -> None:
    with connection:
        while True:
            data, fds, _, _ = socket.recv_fds(connection, _LARGEST, 1)
            if not data:
                return
            pods, bridge, where = _order_of(data)
            node = NetlinkSocket(where, socket.socket(fileno=fds[0]))
            built, failed = _build(pods, bridge, node, namespaces)
            answer: _Answer = (list(built), failed)
            descriptors = array.array("i", built.values())
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if built else []
            try:
                connection.sendmsg([_encode(answer)], rights)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)


def _build(
    pods: Sequence[PodLink], bridge: Bridge, node: NetlinkSocket, namespaces: BareNamespaces
) -> tuple[dict[str, int], list[_Refused]]:
    try:
        built, failed = sandbox.build(pods, bridge, node, turn=_turn, namespaces=namespaces)
    except DataplaneError as error:
        built, failed = {}, {pod.uid: error for pod in pods}
    except OSError as error:
        refusal = DataplaneError(
            node.where, "add pods", errno=error.errno or 0, stderr=error.strerror or ""
        )
        built, failed = {}, {pod.uid: refusal for pod in pods}
    finally:
        node.close()
    return built, [(uid, *_parts(error)) for uid, error in failed.items()]


def _parts(error: DataplaneError) -> tuple[str, str, int, str, str]:
    return error.node, error.operation, error.errno, error.stderr, error.hint
