"""IPVS values: what leads from one table to another, and what goes over the wire."""

from __future__ import annotations

from netemu.netstate import ipvswire
from netemu.netstate.conntrack import attributes
from netemu.netstate.ipvs import Real, Server, Virtual, diff, render

WEB, DNS = Virtual("10.96.0.1", "tcp", 80), Virtual("10.96.0.10", "udp", 53)
A, B = Real("10.244.1.1", 8080), Real("10.244.1.2", 8080)


def test_diff_touches_only_what_differs() -> None:
    old = {WEB: Server(reals=frozenset({A})), DNS: Server()}
    new = {WEB: Server(persistent=60, reals=frozenset({B}))}
    changes = diff(old, new)
    assert changes.removed == (DNS,) and changes.updated == (WEB,) and changes.added == ()
    assert changes.added_reals == ((WEB, B),) and changes.removed_reals == ((WEB, A),)
    drained = {WEB: Server(persistent=60, reals=frozenset({Real("10.244.1.2", 8080, 0)}))}
    assert diff(new, drained).updated_reals == ((WEB, Real("10.244.1.2", 8080, 0)),)


def test_render_as_ipvsadm_saves() -> None:
    assert render({WEB: Server(persistent=60, reals=frozenset({B, A}))}) == (
        "-A -t 10.96.0.1:80 -s rr -p 60\n"
        "-a -t 10.96.0.1:80 -r 10.244.1.1:8080 -m -w 1\n"
        "-a -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 1\n"
    )


def test_wire_round_trip() -> None:
    for virtual in (WEB, DNS, Virtual("fd00::1", "sctp", 9)):
        server = Server(scheduler="rr", persistent=60)
        assert ipvswire.parse_virtual(ipvswire.encode_virtual(virtual, server)) == (virtual, server)
    real, connections = ipvswire.parse_real(ipvswire.encode_real(A), WEB)
    assert real == A and (connections.active, connections.inactive) == (0, 0)
    assert [kind for kind, _ in attributes(ipvswire.encode_real(A))] == [2]
