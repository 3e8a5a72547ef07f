"""TestCategorizeEndpoints: policies, hints and the terminating fallback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netemu.proxy.endpoints import Decision, decide
from netemu.proxy.model import Endpoint, NodeView, ServicePort

NODE = NodeView(name="node-1", zone="zone-a")
PORT = ServicePort(namespace="d", name="s", cluster_ip="10.96.0.1", port=80)
LOCAL = replace(PORT, node_port=30080, external_local=True)
INTERNAL = replace(PORT, internal_local=True)


def here(n: int, **more: object) -> Endpoint:
    return replace(Endpoint(f"10.244.1.{n}", 80, "node-1"), **more)


def there(n: int, **more: object) -> Endpoint:
    return replace(Endpoint(f"10.244.2.{n}", 80, "node-2"), **more)


DOWN = {"ready": False, "serving": False}
TERMINATING = {"ready": False, "serving": True, "terminating": True}
GONE = {"ready": False, "serving": False, "terminating": True}
A, B = {"zone_hints": frozenset({"zone-a"})}, {"zone_hints": frozenset({"zone-b"})}


def test_nothing_from_nothing() -> None:
    assert decide(PORT, (), NODE) == Decision()


def test_only_ready_ones() -> None:
    assert decide(PORT, (here(1), here(2, **DOWN)), NODE).cluster == (here(1),)


def test_terminating_ones_serve_only_without_ready_ones() -> None:
    assert decide(PORT, (here(1), there(1, **TERMINATING)), NODE).cluster == (here(1),)
    only = (here(1, **TERMINATING), there(1, **GONE))
    assert decide(PORT, only, NODE) == Decision((only[0],), (), True)
    assert decide(PORT, (here(1, **GONE),), NODE) == Decision()


def test_udp_remembers_who_serves_without_being_chosen() -> None:
    """Not what a policy, a hint or a terminating pod's successor leaves out, but what is down."""
    udp = replace(LOCAL, protocol="udp", internal_local=True)
    here_and_there = (here(1), here(2, **TERMINATING), here(3, **DOWN), here(4, **GONE), there(1))
    assert decide(udp, here_and_there, NODE).others == (here(2, **TERMINATING),)
    assert decide(replace(udp, node_port=0), here_and_there, NODE).others == (
        here(2, **TERMINATING),
        there(1),
    )
    hinted = (here(1, **A), there(1, **B))
    assert decide(replace(PORT, protocol="udp"), hinted, NODE).others == (there(1, **B),)
    assert decide(LOCAL, here_and_there, NODE).others == ()


@pytest.mark.parametrize("port", [LOCAL, INTERNAL])
def test_local_prefers_ready_then_terminating_of_this_node(port: ServicePort) -> None:
    ready = (here(1), here(2, **TERMINATING), there(1))
    assert decide(port, ready, NODE).local == (here(1),)
    fallback = (here(2, **TERMINATING), there(1))
    assert decide(port, fallback, NODE).local == (here(2, **TERMINATING),)


def test_none_here_still_exists_elsewhere() -> None:
    assert decide(INTERNAL, (there(1),), NODE) == Decision((), (), True)
    assert decide(LOCAL, (there(1, **TERMINATING),), NODE).exists
    assert not decide(LOCAL, (there(1, **GONE),), NODE).exists


def test_zone_hints_are_all_or_nothing() -> None:
    assert decide(PORT, (here(1, **A), there(1, **B)), NODE).cluster == (here(1, **A),)
    mixed = (here(1, **A), there(1))
    assert decide(PORT, mixed, NODE).cluster == mixed
    elsewhere = (there(1, **B),)
    assert decide(PORT, elsewhere, NODE).cluster == elsewhere


def test_node_hints_come_before_zone_hints() -> None:
    mine = here(1, node_hints=frozenset({"node-1"}), **A)
    zone = here(2, node_hints=frozenset({"node-9"}), **A)
    assert decide(PORT, (mine, zone), NODE).cluster == (mine,)
    assert decide(PORT, (zone,), NODE).cluster == (zone,)


def test_no_zone_no_zone_hints() -> None:
    both = (here(1, **A), there(1, **B))
    assert decide(PORT, both, replace(NODE, zone="")).cluster == both


def test_hints_never_touch_the_local_set() -> None:
    both = (here(1, **B), there(1, **A))
    decision = decide(LOCAL, both, NODE)
    assert decision.local == (here(1, **B),)
    assert decision.cluster == (there(1, **A),)
    assert decision.reachable == both
