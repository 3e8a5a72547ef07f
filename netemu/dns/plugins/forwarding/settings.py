"""The options of `forward`, one reader each; https://coredns.io/plugins/forward/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.plugin import duration_of, number_of, one_arg, zones_of
from netemu.dns.upstream import Tls


@dataclass(slots=True)
class Settings:
    root: Path = Path()
    """Where relative files are."""
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
    tls: Tls = field(default_factory=Tls)
    max_idle: int = 0
    """Connections that are kept for further queries, of one upstream; 0: as many as there are."""
    max_connects: int = 0
    """Upstreams tried for one query; 0: until the time is up."""
    next_on_nodata: bool = False
    probe_name: bytes = wire.ROOT
    probe_rd: bool = True
    probe_every: float = 0.5
    names: list[str] = field(default_factory=list)


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
    settings.tls.name = one_arg(line)


def _tls(line: Line, settings: Settings) -> None:
    """`tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`."""
    files = [settings.root / word for word in line.args]
    if len(files) > 3:
        line.fail("takes [CERT KEY] [CA]")
    if len(files) % 2:
        settings.tls.ca = files.pop()
    if files:
        settings.tls.cert, settings.tls.key = files
    try:
        settings.tls.context()
    except (OSError, ValueError) as error:
        line.fail(f"{', '.join(line.args)}: {error}")


def _max_idle(line: Line, settings: Settings) -> None:
    settings.max_idle = number_of(line, one_arg(line), 0, 1 << 31)


def _max_connects(line: Line, settings: Settings) -> None:
    settings.max_connects = number_of(line, one_arg(line), 0, 1 << 31)


def _next_on_nodata(line: Line, settings: Settings) -> None:
    settings.next_on_nodata = True


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
    if wire.NOERROR in settings.failover_on:
        line.fail("NOERROR is no failure")


OPTIONS: dict[str, Callable[[Line, Settings], None]] = {
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
    "max_idle_conns": _max_idle,
    "max_connect_attempts": _max_connects,
    "next_on_nodata": _next_on_nodata,
}
