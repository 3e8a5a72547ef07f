"""forward: what we do not know ourselves, others are asked.

    forward FROM TO… {
        except NAMES…            policy random|round_robin|sequential
        max_fails N (2)          health_check DURATION [no_rec] [domain NAME]
        max_concurrent N         expire DURATION (10s)
        force_tcp                prefer_udp
        tls [CERT KEY] [CA]      tls_servername NAME
        max_idle_conns N         max_connect_attempts N
        next RCODE…              next_on_nodata      (only when another `forward` follows)
        failover RCODE…          failfast_all_unhealthy_upstreams
    }

TO is an address, address:port, tls://address[%NAME], or a file such as /etc/resolv.conf (no host
name, no https://). An upstream that
fails is probed twice a second and left out after `max_fails`; when all are out, one is tried at
random. https://coredns.io/plugins/forward/
"""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from netemu.aio import spawn
from netemu.dns import response, wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Failure, Plugin, match, split_address, zones_of
from netemu.dns.plugins.forwarding.settings import OPTIONS, Settings
from netemu.dns.upstream import Upstream, render_query

MAX_UPSTREAMS = 15
DEADLINE = 5.0
"""All tries of one query together."""


class Forward(Plugin):
    name = "forward"

    def __init__(self, block: Block, zone: tuple[bytes, ...], source: str) -> None:
        self.zone = zone
        self.source = source
        self.runtime = block.runtime
        self.settings = Settings(block.runtime.root)
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
        if isinstance(self.next, Forward) and self._is_for_next(reply):
            return await self.next.serve(query)
        reply.plugin = self.name
        return reply

    def _is_for_next(self, reply: Reply) -> bool:
        nodata = reply.rcode == wire.NOERROR and not reply.answer
        return reply.rcode in self.settings.next_on or (nodata and self.settings.next_on_nodata)

    async def _answer(self, query: Query) -> Reply | Failure:
        """A failure is handed back: raised from a task it would end the whole task group."""
        try:
            return await self._ask(query)
        except Failure as failure:
            return failure

    async def _ask(self, query: Query) -> Reply:
        settings, fails, index, tries = self.settings, 0, 0, 0
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
            tries += 1
            try:
                reply = await self._once(upstream, query, tcp)
            except Failure as error:
                failure = error
                fails += 1
                if settings.max_fails:
                    upstream.check()
                if fails < len(order) and tries != settings.max_connects:
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
    chosen = plugin.settings
    scheme, _, rest = text.rpartition("://")
    address, name = _server_name(rest)
    tls = replace(chosen.tls, name=name or chosen.tls.name) if scheme == "tls" else None
    host, port = split_address(address, 853 if tls is not None else 53)
    upstream = Upstream(host, port, group=plugin.runtime.group, tls=tls, expire=chosen.expire)
    upstream.max_idle = chosen.max_idle
    return upstream


def _server_name(text: str) -> tuple[str, str]:
    """`9.9.9.9%dns.quad9.net:853` as the address with its port, and the name to ask TLS for."""
    address, percent, rest = text.partition("%")
    name, colon, port = rest.partition(":")
    return (f"{address}{colon}{port}", name) if percent else (text, "")


def setup(line: Line, block: Block) -> Plugin:
    if len(line.args) < 2:
        line.fail("needs a zone and at least one upstream")
    plugin = Forward(block, zones_of(line, line.args[:1]), " ".join(line.args[1:]))
    for option in line.body:
        handler = OPTIONS.get(option.name)
        if handler is None:
            option.fail(f"is not an option of forward; there are {', '.join(sorted(OPTIONS))}")
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
        split_address(_server_name(bare)[0] if scheme == "tls" else bare, 53)
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
