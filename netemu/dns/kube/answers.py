"""From what the lookup found to the records of an answer.

https://github.com/kubernetes/dns/blob/master/docs/specification.md, in the order and with the
weights and the glue of CoreDNS 1.13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netemu.dns import wire
from netemu.dns.kube.lookup import Item
from netemu.dns.kube.objects import NO_PORT
from netemu.dns.kube.store import Store
from netemu.dns.kube.transfer import name_of
from netemu.dns.message import Query
from netemu.dns.records import Record, address, soa, srv


def addresses(query: Query, ttl: int, found: Iterable[bytes]) -> list[Record]:
    """A or AAAA, whichever was asked for, each address once."""
    size = 4 if query.qtype == wire.A else 16
    unique = dict.fromkeys(packed for packed in found if len(packed) == size)
    return [address(query.asked, ttl, packed) for packed in unique]


def services(
    query: Query, zone: bytes, ttl: int, items: Iterable[Item]
) -> tuple[Iterable[Record], Iterable[Record]]:
    """SRV records, and the addresses of their targets."""
    items = [item for item in items if not item.target]
    weight = max(1, 100 // len(items)) if items else 0
    answers: dict[Record, None] = {}
    glue: dict[Record, None] = {}
    for item in items:
        if item.port == NO_PORT:
            continue
        target = name_of(item.labels, zone)
        if target is None:
            continue
        answers[srv(query.asked, ttl, weight, item.port, target)] = None
        glue[address(target, ttl, item.address)] = None
    return answers, glue


def pointers(
    query: Query, zone: bytes, ttl: int, names: Iterable[Sequence[str]]
) -> Iterable[Record]:
    """PTR records to names below `zone`."""
    for name in names:
        target = name_of(name, zone)
        if target is not None:
            yield Record(query.asked, wire.PTR, ttl, target)


def name_servers(store: Store, zone: bytes, local: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """(name, address) of the Services that lead to this server, else of `ns.dns.<zone>`.

    `local` are the addresses that it listens on.
    """
    local = list(local)
    found: list[tuple[bytes, bytes]] = []
    for own in local:
        for slice_ in store.by_endpoint.get(own):
            service = store.services.get(slice_.service)
            if service is not None and service.addresses:
                space, _, name = service.key.partition("/")
                target = wire.join((name.encode(), space.encode(), b"svc"), zone)
                found += [(target, packed) for packed in service.addresses]
    default = wire.join((b"ns", b"dns"), zone)
    return found or [(default, own) for own in local]


def authority(store: Store, zone: bytes, ttl: int, minimum: int) -> Record:
    """The zone's SOA; its serial counts the changes of the store."""
    return soa(
        zone,
        ttl,
        primary=wire.join((b"ns", b"dns"), zone),
        mailbox=wire.join((b"hostmaster",), zone),
        serial=store.serial,
        minimum=minimum,
    )
