from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address, VxlanLink
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.network import Changes, Network, diff
from netemu.netstate.route import Route

names = st.sampled_from(["flannel.1", "flannel-v6.1"])
small = st.integers(0, 4).map(str)
links = st.builds(
    VxlanLink,
    name=names,
    vni=st.just(1),
    port=st.just(8472),
    local=small,
    device=st.just("eth0"),
    mtu=st.just(1450),
    mac=st.just("02:00:00:00:00:01"),
)
networks = st.builds(
    Network,
    links=st.lists(links, unique_by=lambda link: link.name).map(frozenset),
    addresses=st.frozensets(st.builds(Address, device=names, cidr=small)),
    neighbours=st.frozensets(st.builds(Neighbour, device=names, address=small, mac=small)),
    fdb=st.frozensets(st.builds(FdbEntry, device=names, mac=small, destination=small)),
    routes=st.frozensets(st.builds(Route, device=names, destination=small, gateway=small)),
)


def apply(network: Network, changes: Changes) -> Network:
    """What a kernel would hold afterwards: a link that goes takes all on it along."""
    lost = {link.name for link in changes.remove_links}
    present = {
        item
        for item in network.addresses | network.neighbours | network.fdb | network.routes
        if item.device not in lost
    }
    present = (present - set(changes.remove)) | set(changes.add)
    return Network(
        links=(network.links - set(changes.remove_links)) | set(changes.add_links),
        addresses=frozenset(item for item in present if isinstance(item, Address)),
        neighbours=frozenset(item for item in present if isinstance(item, Neighbour)),
        fdb=frozenset(item for item in present if isinstance(item, FdbEntry)),
        routes=frozenset(item for item in present if isinstance(item, Route)),
    )


@given(networks, networks)
def test_the_difference_leads_there(desired: Network, observed: Network) -> None:
    assert apply(observed, diff(desired, observed)) == desired


@given(networks)
def test_nothing_to_do(network: Network) -> None:
    assert not diff(network, network)


@given(networks, networks)
def test_nothing_is_removed_that_is_wanted(desired: Network, observed: Network) -> None:
    wanted = desired.addresses | desired.neighbours | desired.fdb | desired.routes
    assert not wanted & set(diff(desired, observed).remove)


def test_a_route_comes_last_and_goes_first() -> None:
    network = Network(
        neighbours=frozenset({Neighbour(device="flannel.1", address="a", mac="m")}),
        fdb=frozenset({FdbEntry(device="flannel.1", mac="m", destination="d")}),
        routes=frozenset({Route(destination="r", device="flannel.1", gateway="a")}),
    )
    order = [Neighbour, FdbEntry, Route]
    assert [type(item) for item in diff(network, Network()).add] == order
    assert [type(item) for item in diff(Network(), network).remove] == order[::-1]
