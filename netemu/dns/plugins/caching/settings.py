"""What the options of the plugin `cache` say, read from its block of the Corefile.

https://coredns.io/plugins/cache/#syntax
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from netemu.dns.corefile import Line
from netemu.dns.plugin import duration_of, number_of, one_arg, zones_of
from netemu.dns.plugins.caching.store import MAX_NEGATIVE_TTL, Store

MIN_CAPACITY, SHARDS = 1024, 256
"""CoreDNS keeps its entries in so many shards, of four entries at least."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """As CoreDNS's where nothing is said; times in seconds."""

    zones: tuple[bytes, ...]
    success: Store = field(default_factory=lambda: Store("success"))
    denial: Store = field(default_factory=lambda: Store("denial", ttl=MAX_NEGATIVE_TTL))
    prefetch: int = 0
    prefetch_within: float = 60.0
    prefetch_percent: int = 10
    stale: float = 0.0
    verify: bool = False
    servfail: float = 5.0
    keep_ttl: bool = False


def read(line: Line, zones: tuple[bytes, ...]) -> Settings:
    """All that the line and its block say; `zones` are the server block's own."""
    words = list(line.args)
    ttl = int(words.pop(0)) if words and words[0].isdigit() else 0
    settings = Settings(zones=zones_of(line, words) or zones)
    if ttl:
        settings.success.ttl = settings.denial.ttl = ttl
    for option in line.body:
        handler = _OPTIONS.get(option.name)
        if handler is None:
            option.fail(f"is not an option of cache; there are {', '.join(sorted(_OPTIONS))}")
        handler(option, settings)
    return settings


def _half(store: str) -> Callable[[Line, Settings], None]:
    def read(line: Line, settings: Settings) -> None:
        half = settings.success if store == "success" else settings.denial
        if not 1 <= len(line.args) <= 3:
            line.fail("takes CAPACITY [TTL] [MINTTL]")
        numbers = [number_of(line, word, 0, 1 << 31) for word in line.args]
        half.capacity = max(MIN_CAPACITY, numbers[0] // SHARDS * SHARDS)
        if len(numbers) > 1:
            half.ttl = numbers[1]
        if len(numbers) > 2:
            half.minimum = numbers[2]

    return read


def _prefetch(line: Line, settings: Settings) -> None:
    if not 1 <= len(line.args) <= 3:
        line.fail("takes AMOUNT [DURATION] [PERCENTAGE%]")
    settings.prefetch = number_of(line, line.args[0], 0, 1 << 31)
    if len(line.args) > 1:
        settings.prefetch_within = duration_of(line, line.args[1])
    if len(line.args) > 2:
        settings.prefetch_percent = number_of(line, line.args[2].removesuffix("%"), 10, 90)


def _serve_stale(line: Line, settings: Settings) -> None:
    words = list(line.args)
    settings.stale = 3600.0
    if words and words[-1] in ("immediate", "verify"):
        settings.verify = words.pop() == "verify"
    if len(words) > 1:
        line.fail("takes [DURATION] [immediate|verify]")
    if words:
        settings.stale = duration_of(line, words[0])


def _servfail(line: Line, settings: Settings) -> None:
    settings.servfail = duration_of(line, one_arg(line))
    if settings.servfail > 300:
        line.fail("at most 5m may a failure be kept")


def _disable(line: Line, settings: Settings) -> None:
    if not line.args or line.args[0] not in ("success", "denial"):
        line.fail("needs success or denial, then zones")
    half = settings.success if line.args[0] == "success" else settings.denial
    half.disabled += zones_of(line, line.args[1:]) or tuple(settings.zones)


def _keepttl(line: Line, settings: Settings) -> None:
    settings.keep_ttl = True


_OPTIONS: dict[str, Callable[[Line, Settings], None]] = {
    "success": _half("success"),
    "denial": _half("denial"),
    "prefetch": _prefetch,
    "serve_stale": _serve_stale,
    "servfail": _servfail,
    "disable": _disable,
    "keepttl": _keepttl,
}
