"""kill -9 under a write load, after other numbers of writes: nothing acknowledged is lost or torn.

NETEMU_KILLS says how often, NETEMU_SEED after which other numbers and under which other load.
"""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from netemu.store.protocol import Store
from netemu.store.sqlite import SqliteStore

KILLS = int(os.environ.get("NETEMU_KILLS", "6"))
FIRST = int(os.environ.get("NETEMU_SEED", "0")) * 10_000

_WRITER = """
import asyncio, os, random, sys
from pathlib import Path
from netemu.store.sqlite import SqliteStore

async def load(store, worker, seed):
    choice = random.Random(seed * 100 + worker)
    for count in range(10**9):
        key = f"/registry/{worker}/{choice.randrange(20)}"
        value = None if choice.random() < 0.2 else f"{seed}.{worker}.{count}".encode() * 30
        done = await store.txn(key, None, value)
        if done.succeeded:
            line = f"{done.revision} {key} {(value or b'-')[:20].decode()}"
            os.write(1, line.encode() + b"\\n")

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    compacting = store.compact(max(store.compacted, store.revision - 500))
    seed = int(sys.argv[2])
    workers = 1 if seed % 3 == 0 else 8  # one alone commits otherwise than many at once
    await asyncio.gather(compacting, *(load(store, w, seed) for w in range(workers)))

asyncio.run(main())
"""


def kill_under_load(path: Path, seed: int) -> list[tuple[int, str, str]]:
    """The acknowledged writes of one life: (revision, key, value or '-')."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(seed)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    moment = random.Random(seed).randint(50, 500)
    first = b"".join(process.stdout.readline() for _ in range(moment))
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    lines = (first + rest).decode().split("\n")[:-1]  # the last one may be half a line
    found = []
    for line in lines:
        revision, key, value = line.split(" ")
        found.append((int(revision), key, value))
    return found


async def opened(path: Path) -> Store:
    store = SqliteStore(path)
    await store.open()
    return store


async def test_nothing_acknowledged_is_lost(tmp_path: Path):
    path = tmp_path / "store.db"
    present: dict[str, tuple[int, str]] = {}
    seen = 0  # how far a watcher is, which comes back after each crash
    acknowledged = 0
    for life in range(FIRST, FIRST + KILLS):
        acks = kill_under_load(path, life)
        acknowledged += len(acks)
        store = await opened(path)
        try:
            acked = {revision: (key, value) for revision, key, value in acks}
            assert len(acked) == len(acks), "a revision was given out twice"
            assert not acks or max(acked) <= store.revision
            events = await store.history("/", max(seen, store.compacted))
            revisions = [event.revision for event in events]
            first = max(seen, store.compacted, 1) + 1
            assert revisions == list(range(first, store.revision + 1)), "a gap or a repetition"
            for event in events:
                value = (event.value or b"-")[:20].decode()
                if event.revision in acked:
                    assert acked.pop(event.revision) == (event.key, value)
                if event.value is None:
                    present.pop(event.key, None)
                else:
                    present[event.key] = (event.revision, value)
            assert not acked, "acknowledged, and gone"
            rows = (await store.range("/")).rows
            assert {row.key: (row.mod_rev, row.value[:20].decode()) for row in rows} == present
            seen = store.revision
        finally:
            await store.close()
    assert acknowledged >= 50 * KILLS
