"""ipsets through netlink, as the program reads them; the kernel's refusals and their names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netemu.errors import DataplaneError
from netemu.netstate import ipset
from netemu.netstate.ipset import Command, SetValue
from netemu.node import netns
from netemu.node.ipset import IpsetSocket

pytestmark = pytest.mark.needs("ipset")


def of(name: str, kind: str, *entries: str, family: int = 4) -> SetValue:
    return SetValue(name=name, kind=kind, entries=frozenset(entries), family=family)


WANTED = {
    value.name: value
    for value in (
        of("p", "bitmap:port", "80", "30080"),
        of("i", "hash:ip", "10.96.0.1", "10.96.0.2"),
        of("ip", "hash:ip,port", "10.96.0.1,tcp:80", "10.96.0.1,udp:53", "10.96.0.1,sctp:9"),
        of("ipi", "hash:ip,port,ip", "10.244.1.5,tcp:8080,10.244.1.5"),
        of("ipn", "hash:ip,port,net", "192.0.2.1,tcp:80,10.0.0.0/8"),
        of("i6", "hash:ip", "fd00::1", family=6),
        of("ip6", "hash:ip,port", "fd00::1,tcp:80", family=6),
        of("ipn6", "hash:ip,port,net", "fd00::1,udp:53,fd01::/64", family=6),
    )
}


@pytest.fixture
def sets(path: str) -> Iterator[IpsetSocket]:
    found = IpsetSocket(path)
    yield found
    found.close()


def saved(path: str) -> list[str]:
    """What `ipset save` shows, without the sets' sizes."""
    shown = netns.run_blocking(path, ["ipset", "save"]).decode().splitlines()
    return sorted(line for line in shown if line.startswith("add"))


def test_the_program_reads_what_was_written(path: str, sets: IpsetSocket) -> None:
    sets.apply(ipset.diff({}, WANTED))
    assert sets.observe_sets() == WANTED
    entries = [f"add {v.name} {entry}" for v in WANTED.values() for entry in v.entries]
    assert saved(path) == sorted(entries)
    sets.apply(ipset.diff({}, WANTED))  # what is there already is fine
    sets.destroy(WANTED)
    assert sets.observe_sets() == {} and saved(path) == []


def test_sets_of_the_program_are_taken_over(path: str, sets: IpsetSocket) -> None:
    lines = b"create i hash:ip\nadd i 10.96.0.9\nadd i 10.96.0.1\n"
    netns.run_blocking(path, ["ipset", "restore"], stdin=lines)
    sets.apply(ipset.diff(sets.observe_sets(), {"i": WANTED["i"]}))
    assert saved(path) == ["add i 10.96.0.1", "add i 10.96.0.2"]


def test_thousands_of_entries(sets: IpsetSocket) -> None:
    many = (f"10.{n // 60000}.{n // 250 % 240}.{n % 250},tcp:80" for n in range(20_000))
    wanted = {"many": of("many", "hash:ip,port", *many)}
    sets.apply(ipset.diff({}, wanted))
    assert sets.observe_sets() == wanted
    sets.apply(ipset.diff(wanted, {"many": of("many", "hash:ip,port")}))
    assert sets.observe_sets()["many"].entries == frozenset()


@pytest.mark.parametrize(
    "entry",
    [
        "192.0.2.1,tcp:80,0.0.0.0/0",  # the kernel refuses it
        "192.0.2.1,tcp:70000,10.0.0.0/8",  # no bytes can say it
    ],
)
def test_a_refusal_names_the_entry_and_whose_it_is(sets: IpsetSocket, entry: str) -> None:
    kind = "hash:ip,port,net"
    commands = [Command("create", "n", kind), Command("add", "n", kind, 4, entry)]
    with pytest.raises(DataplaneError) as caught:
        sets.apply(commands, lambda command: "Service default/web")
    assert f"ipset add n {entry} (Service default/web)" in str(caught.value)


def test_a_set_in_use_says_so(path: str, sets: IpsetSocket) -> None:
    sets.apply(ipset.diff({}, {"i": WANTED["i"]}))
    rule = ["iptables", "-A", "INPUT", "-m", "set", "--match-set", "i", "src", "-j", "DROP"]
    netns.run_blocking(path, rule)
    with pytest.raises(DataplaneError, match="ipset destroy i.*in use by a rule"):
        sets.destroy(["i"])
    netns.run_blocking(path, ["iptables", "-F"])
    sets.destroy(["i"])
    assert sets.observe_sets() == {}
