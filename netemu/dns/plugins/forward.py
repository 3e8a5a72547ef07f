"""forward: what we do not know ourselves, others are asked.

    forward FROM TO… {
        except NAMES…            policy random|round_robin|sequential
        max_fails N (2)          health_check DURATION [no_rec] [domain NAME]
        max_concurrent N         expire DURATION (10s)
        force_tcp                prefer_udp
        tls [CERT KEY CA]        tls_servername NAME
        next RCODE…              failfast_all_unhealthy_upstreams     failover RCODE…
    }

TO is an address, address:port, tls://address, or a file such as /etc/resolv.conf. An upstream that
fails is probed twice a second and left out after `max_fails`; when all are out, one is tried at
random. https://coredns.io/plugins/forward/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from netemu.aio import spawn
from netemu.dns import response, wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import (
    Block,
    Failure,
    Plugin,
    duration_of,
    match,
    number_of,
    one_arg,
    zones_of,
)
from netemu.dns.upstream import Upstream, render_query

MAX_UPSTREAMS = 15
DEADLINE = 5.0
"""All tries of one query together."""


@dataclass(slots=True)
class Settings:
    policy: str = "random"
    max_fails: int = 2
    max_concurrent: int = 0
    force_tcp: bool = False
    prefer_udp: bool = False
    fail_fast: bool = False
    excluded: tuple[bytes, ...] = ()
    next_on: frozenset[int] = frozenset()
    failover_on: frozenset[int] = frozenset()
    expire: float = 10.0
    tls: str | None = None
    probe_name: bytes = wire.ROOT
    probe_rd: bool = True
    probe_every: float = 0.5
    names: list[str] = field(default_factory=list)


class Forward(Plugin):
    name = "forward"

    def __init__(self, block: Block, zone: tuple[bytes, ...], source: str) -> None:
        self.zone = zone
        self.source = source
        self.runtime = block.runtime
        self.settings = Settings()
        self.upstreams: list[Upstream] = []
        self.concurrent = 0
        self._turn = 0
        registry = block.runtime.registry
        self.rejected = registry.counter(
            "coredns_forward_max_concurrent_rejects_total",
            "Counter of the number of queries rejected because the concurrent queries were at"
            " maximum.",
        )
        self.broken = registry.counter(
            "coredns_forward_healthcheck_broken_total",
            "Counter of the number of complete failures of the healthchecks.",
        )
        self.durations = registry.histogram(
            "coredns_proxy_request_duration_seconds",
            "Histogram of the time each request took.",
            ("proxy_name", "to", "rcode"),
        )

    def start(self) -> None:
        """Make the upstreams; they open sockets only when asked."""
        chosen = self.settings
        for text in chosen.names:
            upstream = _upstream(text, self)
            upstream.probe_name, upstream.probe_rd = chosen.probe_name, chosen.probe_rd
            upstream.probe_tcp = chosen.force_tcp
            upstream.probe_every = chosen.probe_every
            self.upstreams.append(upstream)

    async def serve(self, query: Query) -> Reply:
        if match(self.zone, query) is None or match(self.settings.excluded, query) is not None:
            return await self.next.serve(query)
        if not self.upstreams:
            raise Failure(f"no name server in {self.source}")
        limit = self.settings.max_concurrent
        if limit and self.concurrent >= limit:
            self.rejected.add()
            raise Failure(f"concurrent queries exceeded maximum {limit}", wire.REFUSED)
        self.concurrent += 1
        try:
            reply = await spawn(self.runtime.group, self._answer(query), name="dns forward")
        finally:
            self.concurrent -= 1
        if isinstance(reply, Failure):
            raise reply
        if reply.rcode in self.settings.next_on:
            return await self.next.serve(query)
        reply.plugin = self.name
        return reply

    async def _answer(self, query: Query) -> Reply | Failure:
        """A failure is handed back: raised from a task it would end the whole task group."""
        try:
            return await self._ask(query)
        except Failure as failure:
            return failure

    async def _ask(self, query: Query) -> Reply:
        settings, fails, index = self.settings, 0, 0
        order = self._order()
        tcp = settings.force_tcp or (query.proto == "tcp" and not settings.prefer_udp)
        deadline = time.monotonic() + DEADLINE
        failure = Failure("no healthy proxies")
        while time.monotonic() < deadline:
            if index >= len(order):
                index, fails = 0, 0
            upstream = order[index]
            index += 1
            if settings.max_fails and upstream.fails >= settings.max_fails:
                fails += 1
                if fails < len(order):
                    continue
                self.broken.add()
                if settings.fail_fast:
                    break
                upstream = self.runtime.random.choice(order)
            try:
                reply = await self._once(upstream, query, tcp)
            except Failure as error:
                failure = error
                fails += 1
                if settings.max_fails:
                    upstream.check()
                if fails < len(order):
                    continue
                break
            if reply.rcode in settings.failover_on and index < len(order):
                continue
            return reply
        raise failure

    async def _once(self, upstream: Upstream, query: Query, tcp: bool) -> Reply:
        started = time.perf_counter()
        data = await upstream.ask(render_query(query), tcp=tcp)
        try:
            reply = response.read(data)[4]
            if reply.truncated and not tcp and self.settings.prefer_udp:
                reply = response.read(await upstream.ask(render_query(query), tcp=True))[4]
        except wire.Malformed as error:
            raise Failure(f"{upstream}: sent garbage: {error}") from None
        self.durations.add(
            (self.name, str(upstream), wire.rcode_name(reply.rcode)), time.perf_counter() - started
        )
        return reply

    def _order(self) -> list[Upstream]:
        found = list(self.upstreams)
        if self.settings.policy == "random":
            self.runtime.random.shuffle(found)
        elif self.settings.policy == "round_robin":
            self._turn = (self._turn + 1) % len(found)
            found = found[self._turn :] + found[: self._turn]
        return found

    def close(self) -> None:
        for upstream in self.upstreams:
            upstream.close()


def nameservers(path: Path) -> list[str]:
    """The addresses of `nameserver` lines; resolv.conf(5)."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1].partition("%")[0])
    return found


def _upstream(text: str, plugin: Forward) -> Upstream:
    scheme, _, rest = text.rpartition("://")
    tls = (plugin.settings.tls or "") if scheme == "tls" else None
    host, port = split_address(rest, 853 if tls is not None else 53)
    return Upstream(host, port, group=plugin.runtime.group, tls=tls, expire=plugin.settings.expire)


def split_address(text: str, port: int) -> tuple[str, int]:
    """(IP address, port) of `1.1.1.1`, `1.1.1.1:53`, `::1`, `[::1]:53`; ValueError otherwise."""
    host = text
    if text.startswith("["):
        host, _, after = text[1:].partition("]")
        port = int(after[1:]) if after else port
    elif text.count(":") == 1:
        host, _, after = text.partition(":")
        port = int(after)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is out of range")
    return str(ip_address(host)), port


def setup(line: Line, block: Block) -> Plugin:
    if len(line.args) < 2:
        line.fail("needs a zone and at least one upstream")
    plugin = Forward(block, zones_of(line, line.args[:1]), " ".join(line.args[1:]))
    for option in line.body:
        handler = _OPTIONS.get(option.name)
        if handler is None:
            option.fail(f"is not an option of forward; there are {', '.join(sorted(_OPTIONS))}")
        handler(option, plugin.settings)
    for text in line.args[1:]:
        plugin.settings.names += _addresses(line, text, block)
    if len(plugin.settings.names) > MAX_UPSTREAMS:
        line.fail(f"more than {MAX_UPSTREAMS} upstreams")
    plugin.start()
    return plugin


def _addresses(line: Line, text: str, block: Block) -> list[str]:
    rest = text.removeprefix("dns://")
    scheme, _, bare = rest.rpartition("://")
    try:
        split_address(bare, 53)
    except ValueError:
        if scheme:
            line.fail(f"{text!r} is not an address")
    else:
        if scheme not in ("", "tls"):
            line.fail(f"{scheme}:// is not a protocol of forward; there are dns:// and tls://")
        return [rest]
    path = block.runtime.resolv_conf if text == "/etc/resolv.conf" else block.runtime.root / text
    try:
        found = nameservers(path)
    except OSError as error:
        line.fail(f"{text!r} is neither an address nor a readable file: {error.strerror}")
    return [f"[{host}]" if ":" in host else host for host in found if _is_address(host)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _policy(line: Line, settings: Settings) -> None:
    settings.policy = one_arg(line)
    if settings.policy not in ("random", "round_robin", "sequential"):
        line.fail(f"{settings.policy!r} is not one of random, round_robin, sequential")


def _max_fails(line: Line, settings: Settings) -> None:
    settings.max_fails = number_of(line, one_arg(line), 0, 1 << 31)


def _max_concurrent(line: Line, settings: Settings) -> None:
    settings.max_concurrent = number_of(line, one_arg(line), 0, 1 << 31)


def _expire(line: Line, settings: Settings) -> None:
    settings.expire = duration_of(line, one_arg(line))


def _except(line: Line, settings: Settings) -> None:
    if not line.args:
        line.fail("needs a zone")
    settings.excluded += zones_of(line, line.args)


def _force_tcp(line: Line, settings: Settings) -> None:
    settings.force_tcp = True


def _prefer_udp(line: Line, settings: Settings) -> None:
    settings.prefer_udp = True


def _fail_fast(line: Line, settings: Settings) -> None:
    settings.fail_fast = True


def _tls_name(line: Line, settings: Settings) -> None:
    settings.tls = one_arg(line)


def _tls(line: Line, settings: Settings) -> None:
    if line.args:
        line.fail("certificates of our own are not supported; leave the arguments out")


def _health_check(line: Line, settings: Settings) -> None:
    if not line.args:
        line.fail("needs a duration")
    settings.probe_every = max(0.05, duration_of(line, line.args[0]))
    words = list(line.args[1:])
    while words:
        word = words.pop(0)
        if word == "no_rec":
            settings.probe_rd = False
        elif word == "domain" and words:
            settings.probe_name = zones_of(line, [words.pop(0)])[0]
        else:
            line.fail(f"{word!r} is neither no_rec nor domain NAME")


def _rcodes(line: Line) -> frozenset[int]:
    if not line.args or not all(word.upper() in wire.RCODES for word in line.args):
        line.fail(f"needs response codes, of {', '.join(wire.RCODES)}")
    return frozenset(wire.RCODES[word.upper()] for word in line.args)


def _next(line: Line, settings: Settings) -> None:
    settings.next_on = _rcodes(line)


def _failover(line: Line, settings: Settings) -> None:
    settings.failover_on = _rcodes(line)


_OPTIONS: dict[str, Callable[[Line, Settings], None]] = {
    "policy": _policy,
    "max_fails": _max_fails,
    "max_concurrent": _max_concurrent,
    "expire": _expire,
    "except": _except,
    "force_tcp": _force_tcp,
    "prefer_udp": _prefer_udp,
    "failfast_all_unhealthy_upstreams": _fail_fast,
    "tls_servername": _tls_name,
    "tls": _tls,
    "health_check": _health_check,
    "next": _next,
    "failover": _failover,
}
