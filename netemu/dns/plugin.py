"""The contract of a plugin: one method, `serve`.

A plugin answers a query or hands it to `self.next`. It may look at the reply on the way back, and
change it: a reply belongs to who holds it. A query is never changed in place; `dataclasses.replace`
makes another. What goes wrong is raised as `Failure`; the server answers with its rcode, and the
plugin `errors` writes the line.

`serve` is first run outside of a task, since most answers need no waiting: a plugin that waits for
the network spawns a task in `runtime.group` and awaits that (see `server/respond.py`).
https://github.com/coredns/coredns/blob/master/plugin.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from netemu.dns import corefile, wire
from netemu.dns.message import LASTING, Query, Reply
from netemu.dns.records import Record

if TYPE_CHECKING:
    from netemu.dns.runtime import Handler, Runtime


class Failure(Exception):
    """A query that could not be answered, and the rcode that says so."""

    def __init__(self, message: str, rcode: int = wire.SERVFAIL) -> None:
        super().__init__(message)
        self.rcode = rcode


class Plugin:
    """A link of the chain. Set up before it serves; `run` lives as long as its configuration."""

    name = ""
    next: Plugin
    patience: float = 0.0
    """Seconds that a start waits for it to be ready."""

    async def serve(self, query: Query) -> Reply:
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether `/ready` may say so."""
        return True

    def transfer(self, zone: bytes) -> list[Record] | None:
        """All records of a zone, its SOA first and last; None: we do not have that zone."""
        return None

    async def run(self) -> None:
        """Background work, until cancelled."""

    async def stop(self) -> None:
        """The last act before sockets close: lame duck."""

    def close(self) -> None:
        """Let go of what `setup` or `run` took. Called once, also when setup went half way."""


class End(Plugin):
    """Behind the last plugin: nobody serves this name."""

    name = ""

    async def serve(self, query: Query) -> Reply:
        return Reply(wire.REFUSED, keep=LASTING)


@dataclass(slots=True)
class Block:
    """The server block that a plugin is set up in."""

    zones: tuple[bytes, ...]
    server: str
    runtime: Runtime
    hosts: list[str] = field(default_factory=list)
    """Addresses to listen on (`bind`); empty: all."""
    http: dict[tuple[str, int, str], Handler] = field(default_factory=dict)
    """(host, port, path) → what answers a GET there."""
    plugins: list[Plugin] = field(default_factory=list)
    """The chain so far, first to last; complete once all are set up."""

    def find(self, name: str) -> Plugin | None:
        return next((plugin for plugin in self.plugins if plugin.name == name), None)


@dataclass(frozen=True, slots=True)
class Fall:
    """`fallthrough [ZONE…]`: for which names a plugin hands on what it does not know."""

    zones: tuple[bytes, ...] = ()

    def through(self, query: Query) -> bool:
        return match(self.zones, query) is not None


def fall_of(line: corefile.Line) -> Fall:
    return Fall(zones_of(line, line.args) or (wire.ROOT,))


def match(zones: Collection[bytes], query: Query) -> int | None:
    """Where the longest matching zone starts in the query's name; None when none matches."""
    if not zones:
        return None
    name = query.name
    for start in query.starts:
        if name[start:] in zones:
            return start
    return None


def zones_of(line: corefile.Line, words: Sequence[str]) -> tuple[bytes, ...]:
    """Zones as lower-cased wire names; CIDRs become reverse zones."""
    found: list[bytes] = []
    for word in words:
        try:
            found += corefile.zones(word)
        except ValueError as error:
            line.fail(f"{word!r} is not a zone: {error}")
    return tuple(found)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def duration_of(line: corefile.Line, text: str) -> float:
    """Seconds of a Go duration: `5s`, `1h30m`, `250ms`; a bare 0 as well."""
    if text == "0":
        return 0.0
    at, total = 0, 0.0
    while found := _PART.match(text, at):
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if not at or at != len(text):
        line.fail(f"{text!r} is not a duration such as 5s, 1m30s or 250ms")
    return total


def duration_text(seconds: float) -> str:
    """As Go writes it: 90 seconds are `1m30s`."""
    if seconds < 60:
        return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{f'{hours}h' if hours else ''}{minutes}m{rest:g}s"


def number_of(line: corefile.Line, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        line.fail(f"{text!r} is not a number from {low} to {high}")
    return int(text)


def one_arg(line: corefile.Line) -> str:
    if len(line.args) != 1:
        line.fail(f"takes one argument, {len(line.args)} given")
    return line.args[0]


def listen_of(line: corefile.Line, text: str) -> tuple[str, int]:
    """`:8080`, `127.0.0.1:8080` or `[::1]:8080` as (host, port); host empty: all addresses."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        line.fail(f"{text!r} is not an address such as :8080 or 127.0.0.1:8080")
    return host.strip("[]"), int(port)


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
