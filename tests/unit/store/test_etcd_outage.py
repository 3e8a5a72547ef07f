"""What goes wrong with a real etcd and the way to it: nothing is lost, and errors say what is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.store import etcd as etcd_module
from netemu.store.etcd import EtcdStore
from netemu.store.etcdgateway import Tls
from netemu.store.protocol import Event, StoreError

Open = Callable[..., Coroutine[None, None, EtcdStore]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens stores that run until the test is over: `await opened(url, prefix=…)`."""
    stores, tasks = [], []
    async with asyncio.TaskGroup() as group:

        async def make(*urls: str, **more) -> EtcdStore:
            store = EtcdStore(urls, **more)
            tasks.append(spawn(group, store.run(), name="store"))
            await store.open()
            stores.append(store)
            return store

        yield make
        for task in tasks:
            task.cancel()
    for store in stores:
        await store.close()


class Seen:
    """Everything that a watch brings, and waiting for it."""

    def __init__(self, store: EtcdStore, prefix: str = "/registry/") -> None:
        self.events: list[Event] = []
        self.lost = 0
        self._moved = asyncio.Event()
        store.watch(prefix, self._deliver, self._missed)

    def _deliver(self, events) -> None:
        self.events += events
        self._moved.set()

    def _missed(self) -> None:
        self.lost += 1
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._moved.clear()
                await self._moved.wait()


async def test_a_restarted_etcd_is_found_again_and_no_event_is_missing(make_etcd, opened) -> None:
    etcd = make_etcd()
    store = await opened(etcd.url)
    seen = Seen(store)
    at = [(await store.txn(f"/registry/{i}", 0, b"x")).revision for i in range(3)]
    etcd.kill()
    with pytest.raises(StoreError, match="no etcd answers") as caught:
        await store.newest()
    assert "--etcd-servers" in caught.value.hint
    await asyncio.to_thread(etcd.start)
    other = await opened(etcd.url)
    at += [(await other.txn(f"/registry/{i}", 0, b"x")).revision for i in range(3, 6)]
    at.append((await store.txn("/registry/last", 0, b"x")).revision)
    await seen.until(lambda: len(seen.events) >= len(at))
    assert [event.revision for event in seen.events] == at


async def test_a_write_whose_answer_is_lost_is_not_made_twice(make_etcd, opened, wire) -> None:
    cable = wire(make_etcd().port)
    await cable.join()
    store = await opened(cable.url)
    for expect, value in ((0, b"1"), (None, b"2"), (None, None)):
        cable.lose = b"/v3/kv/txn"
        done = await store.txn("/registry/a", expect, value)
        assert done.succeeded
    events = await store.history("/registry/", 1)
    assert [event.value for event in events] == [b"1", b"2", None]


async def test_a_hanging_watch_is_begun_anew(make_etcd, opened, wire, monkeypatch) -> None:
    monkeypatch.setattr(etcd_module, "_LOOK_SECONDS", 0.05)
    cable = wire(make_etcd().port)
    await cable.join()
    store = await opened(cable.url)
    seen = Seen(store)
    first = (await store.txn("/registry/a", 0, b"1")).revision
    cable.stall = b"/v3/watch"
    async with asyncio.TaskGroup() as group:
        writing = spawn(group, store.txn("/registry/b", 0, b"2"), name="write")
        done, _ = await asyncio.wait({writing}, timeout=0.02)
        assert not done, "it must not return before its event"
        cable.stall = b""
    await seen.until(lambda: len(seen.events) == 2)
    assert [event.revision for event in seen.events] == [first, writing.result().revision]


async def test_history_that_is_gone_is_told(make_etcd, opened, wire) -> None:
    etcd = make_etcd()
    cable = wire(etcd.port)
    await cable.join()
    far, near = await opened(cable.url), await opened(etcd.url)
    seen = Seen(far)
    await near.txn("/registry/a", 0, b"1")
    await seen.until(lambda: len(seen.events) == 1)
    await cable.cut()
    for i in range(5):
        last = (await near.txn("/registry/a", None, b"%d" % i)).revision
    await near.compact(last)
    await cable.join()
    await seen.until(lambda: bool(seen.lost))
    done = await far.txn("/registry/b", 0, b"2")
    assert done.succeeded
    await seen.until(lambda: seen.events[-1].revision == done.revision)


async def test_a_full_etcd_says_so_and_goes_on_afterwards(make_etcd, opened) -> None:
    store = await opened(make_etcd("--quota-backend-bytes", "3000000").url)
    with pytest.raises(StoreError, match="database space exceeded") as caught:
        for i in range(100):
            kept = await store.txn(f"/registry/{i % 2}", None, b"x" * 200_000)
    assert "alarm disarm" in caught.value.hint
    assert len((await store.range("/registry/")).rows) == 2
    post = store._gateway.post
    await store.compact(kept.revision)
    await post("maintenance/defragment", {})
    for alarm in (await post("maintenance/alarm", {}))["alarms"]:  # as `etcdctl alarm disarm`
        await post("maintenance/alarm", {"action": "DEACTIVATE", **alarm})
    async with asyncio.timeout(60):
        while True:
            try:
                assert (await store.txn("/registry/after", 0, b"1")).succeeded
                break
            except StoreError:  # the alarm's end takes a moment
                await asyncio.sleep(0.05)


async def test_answers_of_any_size_are_taken(make_etcd, opened) -> None:
    etcd = make_etcd()
    store = await opened(etcd.url)
    for i in range(4):
        await store.txn("/registry/big", None, b"%d" % i * 600_000)
    other = await opened(etcd.url)
    events = await other.history("/registry/", 1)
    assert [len(event.value or b"") for event in events] == [600_000] * 4
    assert events[-1].prev_value == b"2" * 600_000


async def test_other_peoples_keys_only_move_the_revision(make_etcd, opened) -> None:
    url = make_etcd().url
    one, two = await opened(url), await opened(url, prefix="/clusters/b")
    seen = Seen(one)
    mine = await one.txn("/registry/pods/default/a", 0, b"1")
    theirs = await two.txn("/registry/pods/default/a", 0, b"2")
    assert mine.succeeded and theirs.succeeded
    assert [row.value for row in (await one.range("/registry/")).rows] == [b"1"]
    found = (await two.range("/registry/pods/")).rows
    assert [(row.key, row.value) for row in found] == [("/registry/pods/default/a", b"2")]
    assert [event.value for event in await two.history("/registry/", 1)] == [b"2"]
    await seen.until(lambda: one.revision >= theirs.revision)
    assert [event.value for event in seen.events] == [b"1"]
    assert (await two.count(), await two.delete_all(), await one.count()) == (1, 1, 1)


async def test_tls_with_certificates_on_both_sides(make_etcd, opened, certificates: Path) -> None:
    etcd = make_etcd(pki=certificates)
    ca, certificate, key = (str(certificates / f"{name}.pem") for name in ("ca", "cert", "key"))
    store = await opened(etcd.url, tls=Tls(ca=ca, certificate=certificate, key=key))
    assert (await store.txn("/registry/a", 0, b"1")).succeeded
    for tls in (Tls(), Tls(ca=ca)):
        with pytest.raises(StoreError, match="no etcd answers") as caught:
            await opened(etcd.url, tls=tls)
        assert "--etcd-c" in caught.value.hint
    with pytest.raises(StoreError, match="cannot be read"):
        await opened(etcd.url, tls=Tls(ca=__file__))


async def test_the_next_server_is_asked_when_one_is_away(make_etcd, opened, wire) -> None:
    etcd = make_etcd()
    cable = wire(etcd.port)
    await cable.join()
    store = await opened(cable.url, etcd.url)
    seen = Seen(store)
    await store.txn("/registry/a", 0, b"1")
    await cable.cut()
    await store.txn("/registry/b", 0, b"2")
    await seen.until(lambda: len(seen.events) == 2)
