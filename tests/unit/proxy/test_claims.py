"""One address and port, several Services that ask for it."""

from __future__ import annotations

from netemu.proxy.claims import Claims
from netemu.proxy.endpoints import NOTHING, Service
from netemu.proxy.model import ServicePort

VIP = "203.0.113.1"


def of(name: str, cluster_ip: str, *external: str, balanced: str = "", port: int = 80) -> Service:
    return Service(
        ServicePort(
            namespace="d",
            name=name,
            cluster_ip=cluster_ip,
            port=port,
            external_ips=external,
            load_balancer_ips=(balanced,) if balanced else (),
        ),
        NOTHING,
    )


def external(services: tuple[Service, ...]) -> list[tuple[str, ...]]:
    return [(*s.port.external_ips, *s.port.load_balancer_ips) for s in services]


def test_services_that_share_nothing_stay_the_very_same() -> None:
    one, two = of("one", "10.96.0.1", VIP), of("two", "10.96.0.2", VIP, port=81)
    claims = Claims()
    settled = claims.settle({"d/one": (one,), "d/two": (two,)})
    assert settled["d/one"][0] is one and settled["d/two"][0] is two
    assert not claims.lost


def test_the_first_by_key_has_an_external_address_whoever_came_first() -> None:
    claims = Claims()
    two = of("two", "10.96.0.2", VIP, "203.0.113.2")
    assert external(claims.settle({"d/two": (two,)})["d/two"]) == [(VIP, "203.0.113.2")]
    settled = claims.settle({"d/one": (of("one", "10.96.0.1", balanced=VIP),)})
    assert external(settled["d/one"]) == [(VIP,)]
    assert external(settled["d/two"]) == [("203.0.113.2",)]
    assert claims.lost == {"d/two": (f"{VIP}:80/TCP (Service d/one)",)}


def test_who_comes_next_gets_what_was_given_up() -> None:
    claims = Claims()
    two = of("two", "10.96.0.2", VIP)
    claims.settle({"d/one": (of("one", "10.96.0.1", VIP),), "d/two": (two,)})
    settled = claims.settle({"d/one": ()})
    assert settled == {"d/one": (), "d/two": (two,)}
    assert not claims.lost


def test_a_cluster_ip_is_its_own_services() -> None:
    claims = Claims()
    thief = of("a", "10.96.0.1", "10.96.0.2")
    assert claims.settle({"d/a": (thief,)}) == {"d/a": (thief,)}
    settled = claims.settle({"d/z": (of("z", "10.96.0.2"),)})
    assert external(settled["d/a"]) == [()]
    assert claims.lost == {"d/a": ("10.96.0.2:80/TCP (Service d/z)",)}
    assert claims.settle({"d/z": ()})["d/a"] == (thief,)


def test_a_service_may_name_its_own_addresses_twice() -> None:
    claims = Claims()
    settled = claims.settle({"d/a": (of("a", "10.96.0.1", "10.96.0.1", VIP, balanced=VIP),)})
    (service,) = settled["d/a"]
    assert service.port.external_ips == () and service.port.load_balancer_ips == (VIP,)
    assert not claims.lost


def test_an_ipv6_address_is_told_in_brackets() -> None:
    claims = Claims()
    both = {f"d/{n}": (of(n, f"fd00::{n}", "2001:db8::1"),) for n in "ab"}
    claims.settle(both)
    assert claims.lost == {"d/b": ("[2001:db8::1]:80/TCP (Service d/a)",)}
