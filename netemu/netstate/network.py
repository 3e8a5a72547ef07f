"""One node's part of an overlay as a whole, and what is missing between two of them.

A desired network is compared with the observed one, so that what someone deleted by hand comes back
and what nobody wants goes, and nothing else is touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address, VxlanLink
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.route import Route

Item = Address | Neighbour | FdbEntry | Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Links and what stands on them."""

    links: frozenset[VxlanLink] = frozenset()
    addresses: frozenset[Address] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    fdb: frozenset[FdbEntry] = frozenset()
    routes: frozenset[Route] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """In the order in which they must be made: links go, links come, items go, items come."""

    remove_links: tuple[VxlanLink, ...] = ()
    add_links: tuple[VxlanLink, ...] = ()
    remove: tuple[Item, ...] = ()
    add: tuple[Item, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.remove_links or self.add_links or self.remove or self.add)


def diff(desired: Network, observed: Network) -> Changes:
    """What turns `observed` into `desired`.

    A link that differs in anything is made anew, as flannel does, and takes what stood on it with
    it. Additions go neighbour, FDB, route, so that a route never leads to an unknown peer; removals
    go the other way round.
    """
    remove_links = tuple(sorted(observed.links - desired.links, key=lambda link: link.name))
    add_links = tuple(sorted(desired.links - observed.links, key=lambda link: link.name))
    lost = {link.name for link in remove_links}
    present = _items(observed)
    kept = [item for item in present if item.device not in lost]
    wanted = _items(desired)
    kept_set, wanted_set = set(kept), set(wanted)
    return Changes(
        remove_links=remove_links,
        add_links=add_links,
        remove=tuple(item for item in reversed(kept) if item not in wanted_set),
        add=tuple(item for item in wanted if item not in kept_set),
    )


def _items(network: Network) -> list[Item]:
    return [
        *sorted(network.addresses),
        *sorted(network.neighbours),
        *sorted(network.fdb),
        *sorted(network.routes),
    ]
