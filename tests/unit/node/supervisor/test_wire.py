from __future__ import annotations

import os
import socket

from netemu.node.supervisor import wire


def test_messages_come_whole_and_in_order_with_their_descriptors() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = wire.Reader(theirs)
        ends = os.pipe()
        first, second = wire.encode({"op": "a", "fds": 1}), wire.encode({"op": "b" * 100})
        assert wire.send(ours, first[:3], [ends[1]]) == 3
        assert reader.read() == []
        ours.sendall(first[3:] + second)
        messages = reader.read()
        assert [message["op"] for message, _ in messages] == ["a", "b" * 100]
        (received,) = messages[0][1]
        assert messages[1][1] == []
        os.write(received, b"x")
        assert os.read(ends[0], 1) == b"x"
        for descriptor in (*ends, received):
            os.close(descriptor)
        ours.close()
        assert reader.read() == [] and reader.closed
