"""All that IPVS mode wants of a kernel that has none of it yet, as netlink messages.

The first full sync of very many Services: most are one ClusterIP and nothing else, and all messages
about those have one form. So they are joined from the parts of a sample, while others are being
sent, and nobody looks at each; whatever else there is was compiled as for a change. If the kernel
refuses anything, the whole is compared and sent message by message instead, to name what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from netemu.netstate import ipset, ipsetwire, ipvswire
from netemu.netstate.address import SAMPLES, around, packed
from netemu.netstate.ipvs import Real, Server, Virtual
from netemu.proxy.endpoints import Service
from netemu.proxy.ipvs import ServiceIpvs, compile_service, empty_sets, serving
from netemu.proxy.ipvssets import entry_command
from netemu.proxy.model import NodeView

_PORT = 0xF6F7
_MOST = 200
"""Endpoints of a Service whose messages go in one blob; a send takes some hundred kB."""


@dataclass(slots=True)
class Fill:
    """What a node is to hold. `plain` Services have a ClusterIP and nothing else."""

    node: NodeView
    plain: list[Service] = field(default_factory=list)
    rest: list[ServiceIpvs] = field(default_factory=list)
    hairpins: list[str] = field(default_factory=list)
    """KUBE-LOOP-BACK's entries of the plain ones."""

    @property
    def addresses(self) -> list[str]:
        """To be bound to kube-ipvs0; not those that the node has anyway. Some stand there twice."""
        own = {*self.node.addresses, self.node.address}
        found = [service.port.cluster_ip for service in self.plain]
        found += [address for one in self.rest for address in one.addresses]
        return [address for address in found if address not in own]

    @property
    def filled(self) -> set[str]:
        """Sets that have entries."""
        found = {"KUBE-CLUSTER-IP", "KUBE-IPVS-IPS"} if self.plain else set()
        found |= {"KUBE-LOOP-BACK"} if self.hairpins else set()
        return found.union(*(one.entries for one in self.rest))

    @property
    def shut_out(self) -> list[tuple[str, str, int]]:
        """Load balancers whose source ranges leave the node out."""
        return [where for one in self.rest for where in one.no_node_access]


def sort_out(services: Mapping[str, Sequence[Service]], node: NodeView) -> Fill:
    """Which of `services` are plain, and the others compiled."""
    fill = Fill(node)
    for key in sorted(services):
        for service in services[key]:
            if not _is_plain(service):
                fill.rest.append(compile_service(service, node))
                continue
            fill.plain.append(service)
            fill.hairpins += [
                f"{e.address},{service.port.protocol}:{e.port},{e.address}"
                for e in service.endpoints.reachable
                if e.node == node.name or not e.node
            ]
    return fill


def _is_plain(service: Service) -> bool:
    port = service.port
    few = len(service.endpoints.reachable) <= _MOST
    return few and not (port.is_external or port.health_check_node_port)


def encode_sets(fill: Fill) -> Iterator[bytes]:
    """The sets and their entries. Raises ValueError, OverflowError or KeyError for what no bytes
    can say (port 70000)."""
    family = fill.node.family
    sample, hole, port = _sample(family)
    yield from (ipsetwire.encode(ipset.create(value)) for value in empty_sets(family))

    @cache
    def form(protocol: str) -> tuple[bytes, ...]:
        entry = f"{sample},{protocol}:{_PORT}"
        return around(_entry("KUBE-CLUSTER-IP", entry, family), hole, port)

    bound = around(_entry("KUBE-IPVS-IPS", sample, family), hole)
    for service in fill.plain:
        address, number = packed(service.port.cluster_ip), service.port.port.to_bytes(2)
        start, middle, end = form(service.port.protocol)
        yield start + address + middle + number + end + bound[0] + address + bound[1]
    yield from (_entry("KUBE-LOOP-BACK", entry, family) for entry in fill.hairpins)
    for one in fill.rest:
        for name, entries in one.entries.items():
            yield from (_entry(name, entry, family) for entry in entries)


def encode_servers(fill: Fill, ipvs: int) -> Iterator[bytes]:
    """The virtual servers, each before its real ones; raises what `encode_sets` does.

    `ipvs` is the number that the kernel has given to IPVS.
    """
    node = fill.node
    _, hole, port = _sample(node.family)
    forms = cache(lambda *how: _virtual_forms(node, ipvs, *how))
    start, middle, end = around(_sample_real(node.family), hole, port)
    for service in fill.plain:
        one, local = service.port, service.port.internal_local
        new, head = forms(one.protocol, one.affinity_seconds)
        address, number = packed(one.cluster_ip), one.port.to_bytes(2)
        virtual = new[0] + address + new[1] + number + new[2]
        reals = [
            start + packed(e.address) + middle + e.port.to_bytes(2) + end
            for e in serving(service, local)
        ]
        if reals:
            prefix = head[0] + address + head[1] + number + head[2]
            virtual += prefix + prefix.join(reals)
        yield virtual
    for requests in map(_requests, fill.rest):
        yield from (ipvswire.encode_request(ipvs, request) for request in requests)


def _virtual_forms(
    node: NodeView, ipvs: int, protocol: str, persistent: int
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Parts of a virtual server's message, and of how those for its real servers begin; between
    them come its address and port."""
    sample, hole, port = _sample(node.family)
    virtual, real = Virtual(sample, protocol, _PORT), Real(sample, _PORT)
    server = Server(scheduler=node.ipvs_scheduler, persistent=persistent)
    new = ipvswire.encode_request(ipvs, (ipvswire.NEW_SERVICE, virtual, server, None))
    whole = ipvswire.encode_request(ipvs, (ipvswire.NEW_DEST, virtual, None, real))
    head = whole.removesuffix(_sample_real(node.family))
    return around(new, hole, port), around(head, hole, port)


def _sample(family: int) -> tuple[str, bytes, bytes]:
    """An address that nothing else in a message looks like, its bytes, and those of _PORT."""
    sample = SAMPLES[family]
    return sample, packed(sample), _PORT.to_bytes(2)


def _sample_real(family: int) -> bytes:
    return ipvswire.encode_real(Real(SAMPLES[family], _PORT))


def _entry(name: str, entry: str, family: int) -> bytes:
    return ipsetwire.encode(entry_command(True, name, entry, family))


def _requests(one: ServiceIpvs) -> Iterable[ipvswire.Request]:
    for virtual, server in one.servers.items():
        yield ipvswire.NEW_SERVICE, virtual, server, None
        yield from ((ipvswire.NEW_DEST, virtual, None, real) for real in server.reals)
