"""What several Services hold stays until the last one lets go of it."""

from __future__ import annotations

import random

import pytest

from netemu.netstate.ipset import Command
from netemu.netstate.ipvs import Virtual
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.ipvsbooks import Books
from netemu.proxy.model import Endpoint, NodeView, ServicePort

NODE = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
SHARED = "203.0.113.9"


def service(name: str, number: int, *endpoints: str, external: str = "") -> Service:
    port = ServicePort(
        namespace="d",
        name=name,
        cluster_ip=f"10.96.0.{number}",
        port=80,
        external_ips=(external,) if external else (),
    )
    found = tuple(Endpoint(e, 8080, "node-1") for e in endpoints)
    return Service(port, Decision(found, (), bool(found)))


def entries(commands: tuple[Command, ...]) -> set[tuple[str, str, str]]:
    return {(c.verb, c.name, c.entry) for c in commands}


def test_an_endpoint_of_two_services_keeps_its_hairpin_entry() -> None:
    one, two = service("one", 1, "10.244.1.5"), service("two", 2, "10.244.1.5")
    books = Books({"d/one": (one,), "d/two": (two,)}, NODE)
    hairpin = "10.244.1.5,tcp:8080,10.244.1.5"
    step = books.change([("d/one", ())])
    assert ("del", "KUBE-CLUSTER-IP", "10.96.0.1,tcp:80") in entries(step.commands)
    assert not [c for c in step.commands if c.entry == hairpin]
    step = books.change([("d/two", ())])
    assert ("del", "KUBE-LOOP-BACK", hairpin) in entries(step.commands)


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_a_virtual_server_is_handed_on_in_one_step(names: tuple[str, str]) -> None:
    with_it, without = (
        {
            "one": service("one", 1, "10.244.1.5", external=SHARED if first else ""),
            "two": service("two", 2, "10.244.1.6", external="" if first else SHARED),
        }
        for first in (True, False)
    )
    books = Books({f"d/{name}": (one,) for name, one in with_it.items()}, NODE)
    shared = Virtual(SHARED, "tcp", 80)
    assert {r.address for r in books.servers[shared].reals} == {"10.244.1.5"}
    step = books.change([(f"d/{name}", (without[name],)) for name in names])
    assert {r.address for r in step.old[shared].reals} == {"10.244.1.5"}
    assert {r.address for r in step.new[shared].reals} == {"10.244.1.6"}
    assert not step.wanted and not step.unwanted
    step = books.change([("d/two", ())])
    assert shared in step.old and shared not in step.new and shared not in books.servers
    assert SHARED in step.unwanted


def test_an_address_of_the_node_itself_is_not_bound() -> None:
    books = Books({}, NODE)
    step = books.change([("d/s", (service("s", 1, "10.244.1.5", external=NODE.address),))])
    assert step.wanted == {"10.96.0.1"}


def test_one_changed_endpoint_touches_one_server() -> None:
    books = Books({f"d/s{n}": (service(f"s{n}", n, "10.244.1.5"),) for n in range(1, 9)}, NODE)
    before = books.tables()
    step = books.change([("d/s3", (service("s3", 3, "10.244.1.7"),))])
    assert set(step.old) == set(step.new) == {Virtual("10.96.0.3", "tcp", 80)}
    assert {c.entry for c in step.commands} == {"10.244.1.7,tcp:8080,10.244.1.7"}
    assert books.tables() == before


def test_the_owner_of_an_entry_is_named() -> None:
    books = Books({"d/one": (service("one", 1, "10.244.1.5"),)}, NODE)
    command = Command("add", "KUBE-CLUSTER-IP", "hash:ip,port", 4, "10.96.0.1,tcp:80")
    assert books.owner(command) == "Service d/one"
    assert books.owner(command._replace(entry="10.96.0.9,tcp:80")) == ""


@pytest.mark.parametrize("seed", range(20))
def test_after_any_changes_the_books_are_as_if_new(seed: int) -> None:
    dice = random.Random(seed)
    held: dict[str, tuple[Service, ...]] = {}
    books = Books(held, NODE)
    for _ in range(30):
        number = dice.randint(1, 6)
        endpoints = [f"10.244.1.{n}" for n in dice.sample(range(5, 9), dice.randint(0, 3))]
        one = service(
            f"s{number}", number, *endpoints, external=dice.choice(["", f"{SHARED}{number}"])
        )
        new = dice.choice([(), (one,)])
        books.change([(f"d/s{number}", new)])
        held.pop(f"d/s{number}", None)
        if new:
            held[f"d/s{number}"] = new
    fresh = Books(held, NODE)
    assert books.servers == fresh.servers and books.tables() == fresh.tables()
    assert books.config() == fresh.config()
