"""cache: what is kept, for how long; https://coredns.io/plugins/cache/."""

from __future__ import annotations

import time

import dns.flags
import dns.rcode
import pytest

from scenarios.dns.questions import ask, corefile, counter, free_port, rows, wait_for


def test_the_upstream_is_asked_once_and_ttls_go_down(start_resolver, upstream):
    resolver = start_resolver(corefile("cache 30", "forward . {upstream}"))
    key = ("once.example.test.", "A")
    for _ in range(5):
        assert ask(resolver, key[0]).rcode() == dns.rcode.NXDOMAIN
    assert upstream.counts[key] == 1
    reply = ask(resolver, "www.example.test.")
    assert rows(reply)[0].split()[1] == "30"
    time.sleep(1.1)
    again = ask(resolver, "WWW.example.test.")
    assert rows(again)[0].split()[0] == "WWW.example.test."
    assert int(rows(again)[0].split()[1]) in (28, 29)
    assert again.flags & dns.flags.AA
    assert again.flags & dns.flags.RA


def test_failures_are_kept_for_a_while(start_resolver, upstream):
    resolver = start_resolver(corefile("cache 30", "forward . {upstream}"))
    for _ in range(2):
        assert ask(resolver, "silent.kept.test.", timeout=60).rcode() == dns.rcode.SERVFAIL
    assert upstream.counts["silent.kept.test.", "A"] == 1


ONE, NONE = ("www.example.test.", "A"), ("absent.example.test.", "A")


@pytest.mark.parametrize(
    ("words", "ttls"),
    [
        ("cache", (60, 60)),
        ("cache 20", (20, 20)),
        ("cache {\n success 2000 7\n}", (7, 60)),
        ("cache {\n denial 2000 9\n}", (60, 9)),
        ("cache 20 {\n success 2000 100 90\n}", (90, 20)),
        ("cache {\n denial 2000 1800 100\n}", (60, 100)),
    ],
)
def test_the_ttl_that_is_sent(start_resolver, words, ttls):
    """Answers of the upstream live 60 seconds, positive and negative."""
    resolver = start_resolver(corefile(words, "forward . {upstream}"))
    found = [rows(ask(resolver, *ONE))[0], rows(ask(resolver, *NONE), "authority")[0]]
    assert tuple(int(row.split()[1]) for row in found) == ttls


class Counted:
    """A resolver with an upstream of its own; how often that is asked."""

    def __init__(self, start_resolver, upstream, words: str) -> None:
        self.upstream = upstream
        self.metrics = free_port()
        lines = (f"prometheus 127.0.0.1:{self.metrics}", words)
        forward = f"forward . 127.0.0.1:{upstream.port}"
        self.resolver = start_resolver(corefile(*lines, forward))

    def asks(self, name: str, times: int = 1, **how) -> int:
        """How often the upstream is asked when a client asks so many times."""
        before = self.upstream.counts.get((name, "A"), 0)
        for _ in range(times):
            ask(self.resolver, name, **how)
        return self.upstream.counts.get((name, "A"), 0) - before

    def count(self, name: str, kind: str = "") -> float:
        start = f'coredns_cache_{name}{{server="dns://:53"'
        return counter(self.metrics, f'{start},type="{kind}"' if kind else start)


@pytest.fixture
def counted(start_resolver, make_upstream):
    return lambda words: Counted(start_resolver, make_upstream(), words)


def test_zones(counted):
    both = counted("cache 30 example.test other.test")
    assert both.asks("www.example.test.", 3) == 1
    assert both.asks("x.other.test.", 3) == 1
    assert both.asks("x.third.test.", 3) == 3


@pytest.mark.parametrize(
    ("what", "asked"), [("success", (3, 1)), ("denial", (1, 3)), ("success other.test", (1, 1))]
)
def test_disable(counted, what, asked):
    cache = counted(f"cache 30 {{\n disable {what}\n}}")
    assert (cache.asks(ONE[0], 3), cache.asks(NONE[0], 3)) == asked


def test_do_is_apart(counted):
    cache = counted("cache")
    assert cache.asks(ONE[0], 3) == 1
    assert cache.asks(ONE[0], 3, ednsflags=dns.flags.DO) == 1


@pytest.mark.parametrize(("option", "asked"), [("", 1), ("servfail 1m", 1), ("servfail 0", 3)])
def test_servfail(counted, option, asked):
    assert counted(f"cache {{\n{option}\n}}").asks("servfail.test.", 3) == asked


def test_keepttl(counted):
    cache = counted("cache {\n keepttl\n}")
    stays = counted("cache")
    for each in (cache, stays):
        each.asks(ONE[0])
    wait_for(lambda: rows(ask(stays.resolver, *ONE))[0].split()[1] == "58")
    assert rows(ask(cache.resolver, *ONE))[0].split()[1] == "60"


def test_prefetch(counted):
    """With 90% of the time left it is soon enough, so every hit asks the upstream ahead."""
    cache = counted("cache {\n success 2000 10 10\n prefetch 2 1m 90%\n}")
    assert cache.asks(ONE[0], 2) == 1
    wait_for(lambda: rows(ask(cache.resolver, *ONE))[0].split()[1] == "9")
    wait_for(lambda: cache.upstream.counts[ONE] >= 2)
    wait_for(lambda: cache.count("prefetch_total") >= 1)
    assert counted("cache").count("prefetch_total") == 0


def test_counters(counted):
    cache = counted("cache")
    cache.asks(ONE[0], 4)
    cache.asks(NONE[0], 2)
    assert cache.count("requests_total") == 6
    assert cache.count("misses_total") == 2
    assert (cache.count("hits_total", "success"), cache.count("hits_total", "denial")) == (3, 1)
    assert (cache.count("entries", "success"), cache.count("entries", "denial")) == (1, 1)


def test_capacity(counted):
    """Less than 1,024 is taken as 1,024, as in CoreDNS."""
    cache = counted("cache {\n denial 10\n}")
    for number in range(1030):
        cache.asks(f"n{number}.test.")
    assert cache.count("entries", "denial") == 1024
    assert cache.count("evictions_total", "denial") == 6
