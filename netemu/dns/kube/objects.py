"""Stripped views of the objects that make DNS names: only what an answer needs.

10,000 Services with slices are to fit in a few tens of megabytes, so JSON is decoded straight into
these shapes and everything else is dropped on the way (as CoreDNS's `plugin/kubernetes/object`
does). Think twice before adding a field.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from netemu.dns import wire

CLUSTER_IP, HEADLESS, EXTERNAL = "ClusterIP", "headless", "ExternalName"
NO_PORT = -1
"""The port of a Service or slice without ports: A records exist, SRV records do not."""

SERVICE_NAME = "kubernetes.io/service-name"
IMPORT_NAME = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER = "multicluster.kubernetes.io/source-cluster"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"


class Port(NamedTuple):
    name: str
    protocol: str
    """Lower case."""
    number: int


class Service(NamedTuple):
    """`addresses` are packed ClusterIPs; `target` is the wire name of an ExternalName."""

    key: str
    """`namespace/name`."""
    kind: str
    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]
    target: bytes


class Endpoint(NamedTuple):
    """One ready address of a slice. `given` names it below the Service; empty: its address does."""

    address: bytes
    given: str

    @property
    def label(self) -> str:
        return self.given or dashed(self.address)


class Slice(NamedTuple):
    key: str
    service: str
    """`namespace/name` of the Service it belongs to."""
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


class Pod(NamedTuple):
    key: str
    address: bytes


class _Metadata(Struct, gc=False):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    resourceVersion: str = ""


class _Port(Struct, gc=False):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class _ServiceSpec(Struct, gc=False):
    type: str | None = None
    clusterIP: str | None = None
    clusterIPs: list[str] | None = None
    ports: list[_Port] | None = None
    externalName: str | None = None


class RawService(Struct, gc=False):
    metadata: _Metadata = field(default_factory=_Metadata)
    spec: _ServiceSpec = field(default_factory=_ServiceSpec)


class _ImportSpec(Struct, gc=False):
    type: str | None = None
    ips: list[str] | None = None
    ports: list[_Port] | None = None


class RawImport(Struct, gc=False):
    """A ServiceImport (KEP-1645): a Service that other clusters export."""

    metadata: _Metadata = field(default_factory=_Metadata)
    spec: _ImportSpec = field(default_factory=_ImportSpec)


class _Conditions(Struct, gc=False):
    ready: bool | None = None


class _Target(Struct, gc=False):
    name: str | None = None


class _Endpoint(Struct, gc=False):
    addresses: list[str] | None = None
    hostname: str | None = None
    conditions: _Conditions | None = None
    targetRef: _Target | None = None


class RawSlice(Struct, gc=False):
    metadata: _Metadata = field(default_factory=_Metadata)
    addressType: str = "IPv4"
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class _PodStatus(Struct, gc=False):
    podIP: str | None = None
    phase: str | None = None


class RawPod(Struct, gc=False):
    metadata: _Metadata = field(default_factory=_Metadata)
    status: _PodStatus = field(default_factory=_PodStatus)


class RawNamespace(Struct, gc=False):
    metadata: _Metadata = field(default_factory=_Metadata)


def packed(text: str) -> bytes:
    """4 or 16 octets; ValueError when it is no address."""
    if ":" in text:
        return IPv6Address(text).packed
    return IPv4Address(text).packed


def key_of(metadata: _Metadata) -> str:
    return f"{metadata.namespace}/{metadata.name}"


def service(raw: RawService, problems: list[str]) -> Service | None:
    """The view of a Service; what is wrong with it goes to `problems`. None: nothing to serve."""
    key, spec = key_of(raw.metadata), raw.spec
    said = f"Service {key}"
    if not _fits((raw.metadata.name, raw.metadata.namespace), said, problems):
        return None
    ports = _ports(spec.ports, said, problems)
    if spec.type == "ExternalName":
        name = (spec.externalName or "").removesuffix(".")
        if _is_address(name):
            return None
        try:
            return Service(key, EXTERNAL, (), (), wire.from_text(name)) if name else None
        except ValueError as error:
            problems.append(f"Service {key}: spec.externalName: {error}")
            return None
    texts = spec.clusterIPs or ([spec.clusterIP] if spec.clusterIP else [])
    if not texts:
        return None
    if texts[0] == "None":
        return Service(key, HEADLESS, (), ports, b"")
    addresses = []
    for text in texts:
        try:
            addresses.append(packed(text))
        except ValueError:
            problems.append(f"Service {key}: spec.clusterIPs: {text!r} is not an IP address")
    return Service(key, CLUSTER_IP, tuple(addresses), ports, b"") if addresses else None


def service_import(raw: RawImport, problems: list[str]) -> Service | None:
    """The view of a ServiceImport: as of a Service with a ClusterIP, or a headless one."""
    headless = raw.spec.type == "Headless"
    spec = _ServiceSpec(clusterIPs=["None"] if headless else raw.spec.ips, ports=raw.spec.ports)
    return service(RawService(raw.metadata, spec), problems)


def imported_slice(raw: RawSlice, problems: list[str]) -> Slice | None:
    """The view of another cluster's EndpointSlice; its endpoints are named `host.cluster`."""
    cluster = (raw.metadata.labels or {}).get(SOURCE_CLUSTER, "")
    made = endpoint_slice(raw, problems, owner_label=IMPORT_NAME)
    if made is None:
        return None
    named = tuple(Endpoint(e.address, f"{e.label}.{cluster}") for e in made.endpoints)
    return made._replace(endpoints=named)


def endpoint_slice(
    raw: RawSlice,
    problems: list[str],
    *,
    pod_names: bool = False,
    owner_label: str = SERVICE_NAME,
) -> Slice | None:
    """The view of an EndpointSlice with its ready endpoints; None when no Service is named."""
    labels = raw.metadata.labels or {}
    owner = labels.get(owner_label)
    if not owner or raw.addressType == "FQDN":
        return None
    key = key_of(raw.metadata)
    said = f"EndpointSlice {key}"
    if not _fits((owner, raw.metadata.namespace), said, problems):
        return None
    found: list[Endpoint] = []
    for endpoint in raw.endpoints or ():
        if endpoint.conditions is not None and endpoint.conditions.ready is False:
            continue
        for text in endpoint.addresses or ():
            try:
                address = packed(text)
            except ValueError:
                problems.append(f"EndpointSlice {key}: {text!r} is not an IP address")
                continue
            found.append(Endpoint(address, _label(endpoint, key, problems, pod_names)))
    service_key = f"{raw.metadata.namespace}/{owner}"
    return Slice(key, service_key, tuple(found), _ports(raw.ports, said, problems))


def pod(raw: RawPod) -> Pod | None:
    """The view of a Pod that has an address and still runs (option `pods verified`)."""
    if raw.status.phase in ("Succeeded", "Failed", "Unknown") or not raw.status.podIP:
        return None
    try:
        return Pod(key_of(raw.metadata), packed(raw.status.podIP))
    except ValueError:
        return None


def dashed(address: bytes) -> str:
    """The name of an endpoint without a hostname: `10-244-1-11`, `2001-db8--0`."""
    if len(address) == 4:
        return "-".join(map(str, address))
    text = str(IPv6Address(address)).replace(":", "-")
    return f"{text}0" if text.endswith("-") else text


def _fits(labels: tuple[str, ...], said: str, problems: list[str]) -> bool:
    """Whether these can be labels of a name."""
    for label in labels:
        size = len(label.encode())
        if not 0 < size <= wire.MAX_LABEL:
            problems.append(f"{said}: a label must have 1 to 63 octets, {label!r} has {size}")
            return False
    return True


def _label(endpoint: _Endpoint, key: str, problems: list[str], pod_names: bool) -> str:
    if endpoint.hostname:
        if len(endpoint.hostname.encode()) <= 63:
            return endpoint.hostname
        problems.append(f"EndpointSlice {key}: hostname {endpoint.hostname!r} is over 63 octets")
    target = endpoint.targetRef.name if pod_names and endpoint.targetRef else None
    return target if target and len(target) < 64 else ""


_port_lists: dict[tuple[Port, ...], tuple[Port, ...]] = {}
"""Port lists repeat from Service to Service; each is kept once."""


def _ports(raw: list[_Port] | None, said: str, problems: list[str]) -> tuple[Port, ...]:
    ports = tuple(
        Port(p.name or "", (p.protocol or "TCP").lower(), NO_PORT if p.port is None else p.port)
        for p in raw or ()
    )
    if any(not NO_PORT <= port.number <= 65535 for port in ports):
        wrong = [port for port in ports if not NO_PORT <= port.number <= 65535]
        problems += [f"{said}: {port.number} is not a port" for port in wrong]
        ports = tuple(port for port in ports if port not in wrong)
    return _port_lists.setdefault(ports, ports) if ports else _NO_PORTS


_NO_PORTS = (Port("", "", NO_PORT),)


def _is_address(text: str) -> bool:
    try:
        packed(text)
    except ValueError:
        return False
    return True


def decode_list(body: bytes, shape: type[Any]) -> tuple[list[Any], str, str, list[str]]:
    """(objects, resourceVersion, continue token, problems) of a Kubernetes list in JSON.

    One object of a wrong shape does not spoil the rest.
    """
    listed = msgspec.json.decode(body, type=_List)
    objects, problems = [], []
    for raw in listed.items or ():
        try:
            objects.append(msgspec.json.decode(raw, type=shape))
        except msgspec.ValidationError as error:
            problems.append(f"{shape.__name__.removeprefix('Raw')} of a wrong shape: {error}")
    metadata = listed.metadata
    return objects, metadata.resourceVersion, metadata.continue_ or "", problems


class _ListMetadata(Struct, gc=False):
    resourceVersion: str = "0"
    continue_: str | None = field(default=None, name="continue")


class _List(Struct, gc=False):
    metadata: _ListMetadata = field(default_factory=_ListMetadata)
    items: list[msgspec.Raw] | None = None
