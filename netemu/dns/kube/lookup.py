"""What a name below the cluster domain means: the schema of the DNS specification.

    service.namespace.svc.Z              endpoint.service.namespace.svc.Z
    _port._proto.service.namespace.svc.Z     a-b-c-d.namespace.pod.Z

Names are read from the right, so namespaces called `svc` or `pod` work. The result is a list of
items, as CoreDNS's `msg.Service`: empty means that the name exists without data (NODATA), None that
it does not exist (NXDOMAIN). There are no wildcards (coredns#4984).
https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from netemu.dns.kube.objects import CLUSTER_IP, EXTERNAL, HEADLESS, Service, Slice, packed
from netemu.dns.kube.store import Store

DISABLED, INSECURE, VERIFIED = "disabled", "insecure", "verified"


class Item(NamedTuple):
    """One thing behind a name. `labels` name it below the zone; `target` only for ExternalName."""

    address: bytes
    port: int
    labels: tuple[str, ...]
    target: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one `kubernetes` plugin looks at a store."""

    store: Store
    pods: str = DISABLED
    namespaces: frozenset[str] = frozenset()
    """The only namespaces served; empty: all."""
    ignore_empty: bool = False
    """Option `ignore empty_service`: a ClusterIP Service without endpoints does not exist."""
    endpoints: bool = True
    """False with the option `noendpoints`."""

    def exposed(self, namespace: str) -> bool:
        return namespace in self.store.namespaces and (
            not self.namespaces or namespace in self.namespaces
        )


class Asked(NamedTuple):
    """The parts of a name below the zone; empty where the name has none."""

    branch: str = ""
    namespace: str = ""
    service: str = ""
    endpoint: str = ""
    port: str = ""
    protocol: str = ""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.service}"


def parse(labels: list[str], *, imports: bool = False) -> Asked | None:
    """`labels` are lower case and relative to the zone; None: no such name in the schema.

    With `imports`, an endpoint has its cluster behind its name: `host.cluster.service.ns.svc`.
    """
    if not labels:
        return Asked()
    branch, count = labels[-1], len(labels)
    if branch not in ("svc", "pod"):
        return None
    if branch == "pod":
        # A label in front of the pod's is ignored, as in CoreDNS.
        return Asked(branch, *labels[-2 : -min(count, 3) - 1 : -1]) if count <= 5 else None
    if count <= 4:
        return Asked(branch, *reversed(labels[:-1]))
    if count == 5:
        port, protocol, service, namespace, _ = labels
        if imports and not protocol.startswith("_"):
            return Asked(branch, namespace, service, f"{port}.{protocol}")
        return Asked(
            branch, namespace, service, "", port.removeprefix("_"), protocol.removeprefix("_")
        )
    return None


def find(view: View, asked: Asked) -> list[Item] | None:
    """The items behind a parsed name; `[]` NODATA, None NXDOMAIN."""
    if not asked.namespace:
        return []
    if asked.branch == "pod":
        return _pods(view, asked)
    if not view.exposed(asked.namespace):
        return None
    if not asked.service:
        return []
    service = view.store.services.get(asked.key)
    if service is None:
        return None
    if service.kind == EXTERNAL:
        if asked.endpoint or asked.port or asked.protocol:
            return None
        return [Item(b"", 0, labels_of(service), service.target)]
    slices = view.store.by_service.get(asked.key) if view.endpoints else ()
    if service.kind == CLUSTER_IP and view.ignore_empty and not any(s.endpoints for s in slices):
        return None
    if service.kind == HEADLESS or asked.endpoint:
        return _endpoints(service, slices, asked) or None
    return [
        Item(address, port.number, labels_of(service))
        for port in service.ports
        if _matches(asked, port.name, port.protocol)
        for address in service.addresses
    ] or None


def _endpoints(service: Service, slices: tuple[Slice, ...], asked: Asked) -> list[Item]:
    base = labels_of(service)
    return [
        Item(endpoint.address, port.number, (*endpoint.label.split("."), *base))
        for slice_ in slices
        for endpoint in slice_.endpoints
        if not asked.endpoint or asked.endpoint == endpoint.label.lower()
        for port in slice_.ports
        if _matches(asked, port.name, port.protocol)
    ]


def _matches(asked: Asked, name: str, protocol: str) -> bool:
    return (not asked.port or asked.port == name.lower()) and (
        not asked.protocol or asked.protocol == protocol
    )


def labels_of(service: Service) -> tuple[str, ...]:
    """The labels of its name below the zone."""
    namespace, _, name = service.key.partition("/")
    return (name, namespace, "svc")


def _pods(view: View, asked: Asked) -> list[Item] | None:
    if view.pods == DISABLED or not view.exposed(asked.namespace):
        return None
    if not asked.service:
        return []
    address = pod_address(asked.service)
    if address is None:
        return None
    labels = (asked.service, asked.namespace, "pod")
    if view.pods == INSECURE:
        return [Item(address, 0, labels)]
    for pod in view.store.by_pod.get(address):
        if pod.key.partition("/")[0] == asked.namespace:
            return [Item(address, 0, labels)]
    return None


def pod_address(label: str) -> bytes | None:
    """The address that `10-244-1-5` or `2001-db8--5` stands for."""
    dotted = label.count("-") == 3 and "--" not in label
    try:
        return packed(label.replace("-", "." if dotted else ":"))
    except ValueError:
        return None


def reverse(view: View, address: bytes) -> list[tuple[str, ...]]:
    """The names of an address: its Service, or one for each endpoint that has it."""
    for service in view.store.by_cluster_ip.get(address):
        if view.exposed(service.key.partition("/")[0]):
            return [labels_of(service)]
    found: dict[tuple[str, ...], None] = {}
    for slice_ in view.store.by_endpoint.get(address) if view.endpoints else ():
        namespace, _, name = slice_.service.partition("/")
        if not view.exposed(namespace) or slice_.service not in view.store.services:
            continue
        for endpoint in slice_.endpoints:
            if endpoint.address == address:
                found[endpoint.label, name, namespace, "svc"] = None
    return list(found)


def reverse_address(labels: list[str]) -> bytes | None:
    """The address of a complete name below in-addr.arpa or ip6.arpa, packed."""
    if len(labels) == 6 and labels[4:] == ["in-addr", "arpa"]:
        octets = labels[3::-1]
        if all(o.isdecimal() and o.isascii() and str(int(o)) == o and int(o) < 256 for o in octets):
            return bytes(map(int, octets))
    if len(labels) == 34 and labels[32:] == ["ip6", "arpa"]:
        nibbles = "".join(labels[31::-1])
        if len(nibbles) == 32 and all(c in "0123456789abcdef" for c in nibbles):
            return bytes.fromhex(nibbles)
    return None
