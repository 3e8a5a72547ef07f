"""The cache's times and sizes, with a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from netemu.dns import records, wire
from netemu.dns.message import Reply
from netemu.dns.plugin import Failure

NAME = wire.from_text("a.test")


def positive(ttl: int, address: bytes = b"\1\2\3\4"):
    return lambda query: Reply(answer=[records.address(query.asked, ttl, address)])


def negative(minimum: int, rcode: int = wire.NXDOMAIN):
    soa = records.soa(
        wire.from_text("test"), 900, primary=NAME, mailbox=NAME, serial=1, minimum=minimum
    )
    return lambda query: Reply(rcode, authority=[soa])


def ttl(reply: Reply) -> int:
    return (reply.answer or reply.authority)[0].ttl


@pytest.mark.parametrize(
    ("options", "answer", "kept"),
    [
        ("", positive(100), 100),
        ("", positive(1), 5),
        ("", positive(99999), 3600),
        ("30", positive(100), 30),
        ("", negative(60), 60),
        ("", negative(99999), 900),
        ("", negative(1), 5),
        ("20", negative(60), 20),
        ("{\n denial 10 7\n}", negative(60), 7),
        ("{\n success 10 7 6\n}", positive(60), 7),
        ("{\n success 10 100 0\n}", positive(3), 3),
        ("", negative(50, wire.NOERROR), 50),
    ],
)
async def test_how_long_a_reply_lives(bench, ask, scripted, options, answer, kept):
    end = scripted(answer)
    cache = bench.plugin(f"cache {options}", end)
    assert ttl(await cache.serve(ask("a.test"))) == kept
    await bench.clock.advance(kept - 1)
    assert ttl(await cache.serve(ask("A.test"))) == 1
    assert len(end.asked) == 1
    await bench.clock.advance(1.5)
    await cache.serve(ask("a.test"))
    assert len(end.asked) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(wire.REFUSED),
        Reply(wire.NXDOMAIN),
        Reply(wire.NOTIMP),
        Reply(truncated=True, answer=[records.address(NAME, 60, b"\1\2\3\4")]),
    ],
    ids=["refused", "no SOA", "notimp", "truncated"],
)
async def test_what_is_not_kept(bench, ask, scripted, reply):
    end = scripted(lambda query: reply.copy())
    cache = bench.plugin("cache", end)
    for _ in range(2):
        await cache.serve(ask("a.test"))
    assert len(end.asked) == 2


async def test_types_classes_and_do_are_apart(bench, ask, scripted):
    from netemu.dns.message import Edns

    end = scripted(positive(60))
    cache = bench.plugin("cache", end)
    for query in (
        ask("a.test"),
        ask("a.test", "AAAA"),
        ask("a.test", qclass=wire.CH),
        ask("a.test", edns=Edns(1232, do=True)),
        ask("a.test", edns=Edns(1232)),
    ):
        await cache.serve(query)
    assert len(end.asked) == 4


async def test_capacity(bench, ask, scripted):
    end = scripted(positive(60))
    cache = bench.plugin("cache {\n success 1300\n}", end)
    for number in range(1300):
        await cache.serve(ask(f"n{number}.test"))
    assert len(cache.success.items) == 1280, "a multiple of the shards"
    assert "coredns_cache_evictions_total" in bench.runtime.registry.render()


async def test_failures_are_kept_five_seconds(bench, ask, scripted):
    def fail(query):
        raise Failure("upstream is gone")

    end = scripted(fail)
    cache = bench.plugin("cache", end)
    with pytest.raises(Failure):
        await cache.serve(ask("a.test"))
    assert (await cache.serve(ask("a.test"))).rcode == wire.SERVFAIL
    assert len(end.asked) == 1
    await bench.clock.advance(5.1)
    with pytest.raises(Failure):
        await cache.serve(ask("a.test"))


async def test_prefetch(bench, ask, scripted):
    end = scripted(positive(100))
    cache = bench.plugin("cache {\n prefetch 3 1m 20%\n}", end)
    for _ in range(4):
        await cache.serve(ask("a.test"))
    await bench.clock.advance(50)
    for _ in range(4):
        await cache.serve(ask("a.test"))
    assert len(end.asked) == 1
    await bench.clock.advance(32)
    assert ttl(await cache.serve(ask("a.test"))) == 18
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(end.asked) == 2
    assert ttl(await cache.serve(ask("a.test"))) == 100


async def test_serve_stale_verify_asks_first(bench, ask, scripted):
    state = {"up": True}

    def answer(query):
        if not state["up"]:
            raise Failure("upstream is gone")
        return positive(10)(query)

    end = scripted(answer)
    cache = bench.plugin("cache {\n serve_stale 1h verify\n}", end)
    await cache.serve(ask("a.test"))
    await bench.clock.advance(20)
    assert ttl(await cache.serve(ask("a.test"))) == 10
    state["up"] = False
    await bench.clock.advance(20)
    assert ttl(await cache.serve(ask("a.test"))) == 0
    await bench.clock.advance(3700)
    with pytest.raises(Failure):
        await cache.serve(ask("a.test"))


async def test_zones_and_disable(bench, ask, scripted):
    end = scripted(positive(60))
    cache = bench.plugin("cache 30 a.test b.test {\n disable success b.test\n}", end)
    for name in ("x.a.test", "x.b.test", "x.c.test"):
        for _ in range(2):
            await cache.serve(ask(name))
    assert [wire.to_text(query.name) for query in end.asked] == [
        "x.a.test.", "x.b.test.", "x.b.test.", "x.c.test.", "x.c.test.",
    ]  # fmt: skip


async def test_counters(bench, ask, scripted):
    cache = bench.plugin("cache", scripted(positive(60)))
    for _ in range(3):
        reply = await cache.serve(ask("a.test"))
    reply.repeated(10)
    text = bench.runtime.registry.render()
    labels = 'server="dns://:53",zones=".",view=""'
    success = 'server="dns://:53",type="success",zones=".",view=""'
    assert f"coredns_cache_requests_total{{{labels}}} 13" in text
    assert f"coredns_cache_misses_total{{{labels}}} 1" in text
    assert f"coredns_cache_hits_total{{{success}}} 12" in text
    assert f"coredns_cache_entries{{{success}}} 1" in text
