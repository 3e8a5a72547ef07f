"""The flat table of very many Services as bytes, fast.

What does not depend on the node is encoded once a process: nodes that got the same `Service` values
take the same bytes. Elements of one map all have one length, so the fragments of 5,000 Services are
joined and cut into messages without being looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netemu.netstate.address import packed
from netemu.netstate.nfexpr import attribute, nested, verdict_data
from netemu.netstate.nftables import Chain, NftSet, Table
from netemu.netstate.nfwire import Batch, add_structure, encode_element
from netemu.proxy import flat, nftables
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Endpoint, NodeView, ServicePort

_PROTOCOLS = {"tcp": b"\6\0\0\0", "udp": b"\x11\0\0\0", "sctp": b"\x84\0\0\0"}


@dataclass(slots=True)
class _Fragment:
    """One plain ServicePort: a ClusterIP with Cluster policy and nothing else."""

    cluster_ip: bytes
    verdict: bytes
    slots: bytes
    count: int


@dataclass(slots=True)
class _Cache:
    """Fragments by identity of the Service value, which they keep alive."""

    entries: dict[int, tuple[Service, _Fragment]] = field(default_factory=dict)
    limit: int = 50_000

    def get(self, service: Service) -> _Fragment | None:
        found = self.entries.get(id(service))
        return found[1] if found is not None and found[0] is service else None

    def put(self, service: Service, fragment: _Fragment) -> None:
        if len(self.entries) >= self.limit:
            self.entries.clear()
        self.entries[id(service)] = (service, fragment)


_cache = _Cache()


def _is_plain(port: ServicePort) -> bool:
    return not (port.is_external or port.internal_local or port.affinity_seconds)


def _slot_parts(v6: bool) -> tuple[bytes, bytes]:
    """What surrounds key and data in a slot element."""
    size = 16 if v6 else 4
    key, data = size + 12, size + 4
    sample = nested(1, nested(1, attribute(1, bytes(key))) + nested(2, attribute(1, bytes(data))))
    head = sample[:12]
    return head, sample[12 + key : 12 + key + 8]


def _encode_fragment(service: Service, v6: bool) -> _Fragment:
    port, endpoints = service.port, service.endpoints.cluster
    address = packed(port.cluster_ip)
    key = address + _PROTOCOLS[port.protocol] + port.port.to_bytes(2, "big") + b"\0\0"
    head, middle = _slot_parts(v6)
    slots = b"".join(
        head
        + key
        + index.to_bytes(4, "little")
        + middle
        + packed(e.address)
        + e.port.to_bytes(2, "big")
        + b"\0\0"
        for index, e in enumerate(endpoints)
    )
    cluster_ip = nested(1, nested(1, attribute(1, address)))
    verdict = nested(
        1,
        nested(1, attribute(1, key)) + nested(2, verdict_data(f"goto pick-{len(endpoints)}")),
    )
    return _Fragment(cluster_ip, verdict, slots, len(endpoints))


def _hairpins(endpoints: Sequence[Endpoint], node: NodeView, found: dict[str, None]) -> None:
    for e in endpoints:
        if e.node == node.name or not e.node:
            found[e.address] = None


def encode_flat(services: Mapping[str, Sequence[Service]], node: NodeView) -> bytes:
    """The batch after which the kernel holds exactly the flat table of `services`."""
    v6 = node.family == 6
    plain: list[_Fragment] = []
    rest: list[Service] = []
    hairpins: dict[str, None] = {}
    for key in sorted(services):
        for service in services[key]:
            if not service.endpoints.cluster or not _is_plain(service.port):
                rest.append(service)
                continue
            fragment = _cache.get(service)
            if fragment is None:
                fragment = _encode_fragment(service, v6)
                _cache.put(service, fragment)
            plain.append(fragment)
            _hairpins(service.endpoints.cluster, node, hairpins)
    table = nftables.assemble(flat.skeleton(node), (flat.compile_service(s, node) for s in rest))
    return _encode(table, plain, hairpins, v6)


def _with_picks(table: Table, plain: Sequence[_Fragment], v6: bool) -> Table:
    chains: dict[str, Chain] = dict(table.chains)
    for count in sorted({f.count for f in plain}):
        chains[f"pick-{count}"] = flat.pick_chain("ip6" if v6 else "ip", count, "endpoints")
    return Table(
        family=table.family,
        name=table.name,
        chains=chains,
        sets=table.sets,
        comment=table.comment,
    )


def _encode(
    table: Table, plain: Sequence[_Fragment], hairpins: Mapping[str, None], v6: bool
) -> bytes:
    batch = Batch(table.family, table.name)
    add_structure(batch, _with_picks(table, plain, v6))
    if plain:
        slots = b"".join([f.slots for f in plain])
        batch.add_blob("endpoints", slots, len(plain[0].slots) // plain[0].count)
        addresses = b"".join([f.cluster_ip for f in plain])
        batch.add_blob("cluster-ips", addresses, len(plain[0].cluster_ip))
        batch.add_encoded("service-ips", (f.verdict for f in plain))
    value: NftSet
    for name, value in table.sets.items():
        elements = dict(value.elements)
        if name == flat.HAIRPINS:
            elements |= {f"{address} . {address}": "" for address in hairpins}
        batch.add_encoded(name, (encode_element(value, k, d) for k, d in elements.items()))
    return batch.encode()
