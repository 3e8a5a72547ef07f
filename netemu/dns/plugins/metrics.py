"""prometheus: counts of queries, replies, their sizes and times, on `[ADDRESS]` (localhost:9153).

Replies that are kept as bytes count themselves; their number joins the rest before each scrape,
with the mean time of such a reply (a clock read for each would cost a tenth of it).
https://coredns.io/plugins/metrics/
"""

from __future__ import annotations

import sys

import netemu
from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.metrics import DURATIONS, SIZES, Registry
from netemu.dns.plugin import Block, Plugin, listen_of

DEFAULT = "localhost:9153"

_TYPES = frozenset(
    {"AAAA", "A", "CNAME", "DNSKEY", "DS", "HTTPS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG",
     "SOA", "SRV", "TXT", "ANY", "AXFR", "IXFR"}
)  # fmt: skip
"""Types with a label of their own, as in CoreDNS; all others are `other`."""


class Metrics(Plugin):
    name = "prometheus"

    def __init__(self, block: Block) -> None:
        registry = block.runtime.registry
        zone = ("server", "zone", "view")
        self.server = block.server
        self.requests = registry.counter(
            "coredns_dns_requests_total",
            "Counter of DNS requests made per zone, protocol and family.",
            (*zone, "proto", "family", "type"),
        )
        self.responses = registry.counter(
            "coredns_dns_responses_total",
            "Counter of response status codes.",
            (*zone, "rcode", "plugin"),
        )
        self.do = registry.counter(
            "coredns_dns_do_requests_total",
            "Counter of DNS requests with DO bit set per zone.",
            zone,
        )
        self.durations = registry.histogram(
            "coredns_dns_request_duration_seconds",
            "Histogram of the time (in seconds) each request took per zone.",
            zone,
            DURATIONS,
        )
        self.request_sizes = registry.histogram(
            "coredns_dns_request_size_bytes",
            "Size of the request in bytes (64Kb limit). Protocol is always tcp or udp.",
            (*zone, "proto"),
            SIZES,
        )
        self.response_sizes = registry.histogram(
            "coredns_dns_response_size_bytes",
            "Size of the returned response in bytes.",
            (*zone, "proto"),
            SIZES,
        )
        self._panics = registry.counter(
            "coredns_panics_total", "A metrics that counts the number of panics."
        )
        self._panics.add((), 0)
        self._samples: dict[tuple[object, ...], Sample] = {}
        _build_info(registry)

    @property
    def panics(self) -> int:
        return int(self._panics.series[()])

    @panics.setter
    def panics(self, value: int) -> None:
        self._panics.set((), value)

    def sample(self, query: Query, reply: Reply, zone: str, size: int) -> Sample:
        """Where a reply of `size` octets to `query` is counted."""
        do = query.edns is not None and query.edns.do
        key = (zone, query.proto, query.family, query.qtype, reply.rcode, reply.plugin, do,
               query.size, size)  # fmt: skip
        sample = self._samples.get(key)
        if sample is None:
            if len(self._samples) > 10_000:
                self._samples.clear()
            sample = self._samples[key] = Sample(self, query, reply, zone, size, do)
        return sample


class Sample:
    """All label sets that one sort of reply counts under."""

    __slots__ = ("_metrics", "_proto", "_request", "_response", "_sizes", "_zone", "_do")

    def __init__(
        self, metrics: Metrics, query: Query, reply: Reply, zone: str, size: int, do: bool
    ) -> None:
        kind = wire.type_name(query.qtype)
        self._metrics = metrics
        self._zone = (metrics.server, zone, "")
        self._proto = (*self._zone, query.proto)
        family = "1" if query.family == 4 else "2"
        self._request = (*self._proto, family, kind if kind in _TYPES else "other")
        self._response = (*self._zone, wire.rcode_name(reply.rcode), reply.plugin)
        self._sizes = (query.size, size)
        self._do = do

    def add(self, count: int, seconds: float) -> None:
        """Count `count` replies that took `seconds` each."""
        metrics = self._metrics
        metrics.requests.add(self._request, count)
        metrics.responses.add(self._response, count)
        metrics.durations.add(self._zone, seconds, count)
        metrics.request_sizes.add(self._proto, self._sizes[0], count)
        metrics.response_sizes.add(self._proto, self._sizes[1], count)
        if self._do:
            metrics.do.add(self._zone, count)


def _build_info(registry: Registry) -> None:
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    registry.gauge(
        "coredns_build_info",
        "A metric with a constant '1' value labeled by version, revision, and goversion from which"
        " CoreDNS was built.",
        ("version", "revision", "goversion"),
    ).set((f"netemu-{netemu.__version__}", "", python), 1)


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    if len(line.args) > 1:
        line.fail("takes at most one address")
    host, port = listen_of(line, line.args[0] if line.args else DEFAULT)
    registry = block.runtime.registry

    def scrape() -> tuple[int, str, bytes]:
        return 200, "text/plain; version=0.0.4; charset=utf-8", registry.render().encode()

    block.http[host, port, "/metrics"] = scrape
    return Metrics(block)
