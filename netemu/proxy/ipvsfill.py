"""All that IPVS mode wants of a kernel that has none of it yet, as netlink messages.

The first full sync of very many Services: most are one ClusterIP and nothing else, and all messages
about those have one form. So they are joined from the parts of a sample and sent without a look at
each; whatever else there is goes the way of a change (`ipvs.compile_service`). If the kernel
refuses anything, the whole is compared and sent message by message instead, to name what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from netemu.netstate import ipset, ipsetwire, ipvswire
from netemu.netstate.address import SAMPLES, around, packed
from netemu.netstate.ipvs import Real, Server, Virtual
from netemu.proxy.endpoints import Service
from netemu.proxy.ipvs import ServiceIpvs, compile_service, empty_sets, serving
from netemu.proxy.ipvssets import entry_command
from netemu.proxy.model import Endpoint, NodeView

_PORT = 0xF6F7
_MOST = 200
"""Endpoints of a Service whose messages go in one blob; a send takes some hundred kB."""


@dataclass(slots=True)
class Fill:
    """Messages by socket; those of one Service's servers are one blob."""

    sets: list[bytes] = field(default_factory=list)
    servers: list[bytes] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)
    """Sets that have entries."""
    shut_out: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Forms:
    """Parts of the messages for one plain Service; between them come its address and port."""

    virtual: tuple[bytes, ...]
    backed: tuple[bytes, ...]
    """How the message for each of its real servers begins."""
    cluster_ip: tuple[bytes, ...]
    bound: tuple[bytes, ...]


class _Writer:
    def __init__(self, node: NodeView, ipvs: int) -> None:
        self._node, self._ipvs = node, ipvs
        self.out = Fill()
        self._forms = cache(self._make_forms)
        sample, hole, port = self._sample()
        real = ipvswire.encode_real(Real(sample, _PORT))
        self._real = around(real, hole, port)
        self._real_size = len(real)

    def _sample(self) -> tuple[str, bytes, bytes]:
        sample = SAMPLES[self._node.family]
        return sample, packed(sample), _PORT.to_bytes(2)

    def _make_forms(self, protocol: str, persistent: int) -> _Forms:
        sample, hole, port = self._sample()
        virtual = Virtual(sample, protocol, _PORT)
        server = Server(scheduler=self._node.ipvs_scheduler, persistent=persistent)
        new = ipvswire.encode_request(self._ipvs, (ipvswire.NEW_SERVICE, virtual, server, None))
        real = Real(sample, _PORT)
        backed = ipvswire.encode_request(self._ipvs, (ipvswire.NEW_DEST, virtual, None, real))
        entry = self._entry("KUBE-CLUSTER-IP", f"{sample},{protocol}:{_PORT}")
        return _Forms(
            around(new, hole, port),
            around(backed[: -self._real_size], hole, port),
            around(entry, hole, port),
            around(self._entry("KUBE-IPVS-IPS", sample), hole),
        )

    def _entry(self, name: str, entry: str) -> bytes:
        return ipsetwire.encode(entry_command(True, name, entry, self._node.family))

    def plain(self, service: Service) -> None:
        """A ClusterIP and nothing else."""
        port, out = service.port, self.out
        forms = self._forms(port.protocol, port.affinity_seconds)
        address, number = packed(port.cluster_ip), port.port.to_bytes(2)
        start, middle, end = forms.virtual
        out.servers.append(start + address + middle + number + end)
        endpoints = serving(service, port.internal_local)
        if endpoints:
            start, middle, end = forms.backed
            head = start + address + middle + number + end
            out.servers.append(head + head.join(self._reals(endpoints)))
        start, middle, end = forms.cluster_ip
        out.sets.append(start + address + middle + number + end)
        if port.cluster_ip not in out.addresses:
            out.addresses.add(port.cluster_ip)
            start, end = forms.bound
            out.sets.append(start + address + end)
        self._loop_back(service)

    def _reals(self, endpoints: Sequence[Endpoint]) -> list[bytes]:
        start, middle, end = self._real
        return [start + packed(e.address) + middle + e.port.to_bytes(2) + end for e in endpoints]

    def _loop_back(self, service: Service) -> None:
        name, protocol = self._node.name, service.port.protocol
        for e in service.endpoints.reachable:
            if e.node == name or not e.node:
                entry = f"{e.address},{protocol}:{e.port},{e.address}"
                self.out.sets.append(self._entry("KUBE-LOOP-BACK", entry))
                self.out.filled.add("KUBE-LOOP-BACK")

    def any(self, one: ServiceIpvs) -> None:
        """What any Service adds."""
        out = self.out
        for virtual, server in one.servers.items():
            requests: list[ipvswire.Request] = [(ipvswire.NEW_SERVICE, virtual, server, None)]
            requests += [(ipvswire.NEW_DEST, virtual, None, real) for real in server.reals]
            out.servers += [ipvswire.encode_request(self._ipvs, each) for each in requests]
        for name, entries in one.entries.items():
            out.sets += [self._entry(name, entry) for entry in entries]
            out.filled.add(name)
        out.addresses |= one.addresses
        out.shut_out += one.no_node_access


def _is_plain(service: Service) -> bool:
    port = service.port
    few = len(service.endpoints.reachable) <= _MOST
    return few and not (port.is_external or port.health_check_node_port)


def encode_ipvs(services: Mapping[str, Sequence[Service]], node: NodeView, ipvs: int) -> Fill:
    """All messages for `services`; `ipvs` is the number that the kernel has given to IPVS.

    Raises ValueError, OverflowError or KeyError for what no bytes can say (port 70000).
    """
    writer = _Writer(node, ipvs)
    out = writer.out
    out.sets += [ipsetwire.encode(ipset.create(value)) for value in empty_sets(node.family)]
    for key in sorted(services):
        for service in services[key]:
            if _is_plain(service):
                writer.plain(service)
            else:
                writer.any(compile_service(service, node))
    if out.addresses:
        out.filled |= {"KUBE-CLUSTER-IP", "KUBE-IPVS-IPS"}
    out.addresses -= {*node.addresses, node.address}
    return out
