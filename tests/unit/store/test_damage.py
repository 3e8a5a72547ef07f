"""Files cut off, overwritten, zeroed at random places: an error, or everything; never less, unsaid.

NETEMU_SEED tries other places, NETEMU_DAMAGES more of them.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netemu.store.mark import Mark
from netemu.store.protocol import CompactedError, Event, Row, StoreError
from netemu.store.sqlite import SqliteStore

DAMAGES = int(os.environ.get("NETEMU_DAMAGES", "150"))
SEED = int(os.environ.get("NETEMU_SEED", "1"))

Content = tuple[list[Row], list[Event]]


async def content(path: Path) -> Content:
    """All that a store hands out; StoreError when it is damaged."""
    store = SqliteStore(path)
    await store.open()
    try:
        rows = (await store.range("/")).rows
        return rows, await store.history("/", max(store.compacted, 1))
    finally:
        await store.close()


async def killed(folder: Path) -> Path:
    """A store as SIGKILL leaves it: partly in its file, partly in the log."""
    store = SqliteStore(folder / "live.db")
    await store.open()
    choice = random.Random(7)
    for i in range(700):
        key = f"/registry/{choice.randrange(40)}"
        value = None if choice.random() < 0.2 else b"%d " % i * choice.randrange(1, 300)
        await store.txn(key, None, value)
        if i == 300:
            await store.compact(150)
            store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = folder / "killed.db"
    for end in ("", "-wal", "-mark"):
        shutil.copy(f"{folder / 'live.db'}{end}", f"{path}{end}")
    await store.close()
    return path


def copied(path: Path, to: Path) -> Path:
    for end in ("", "-wal", "-mark"):
        shutil.copy(f"{path}{end}", f"{to}{end}")
    Path(f"{to}-shm").unlink(missing_ok=True)
    return to


def damage(path: Path, choice: random.Random) -> str:
    """Do one thing that disks and people do; says which."""
    file = Path(f"{path}{choice.choice(('', '-wal'))}")
    data = bytearray(file.read_bytes())
    at, length = choice.randrange(len(data)), choice.choice((1, 8, 64, 4096))
    how = choice.choice(("cut", "garble", "zero", "append"))
    if how == "cut":
        del data[at:]
    elif how == "garble":
        data[at : at + length] = choice.randbytes(min(length, len(data) - at))
    elif how == "zero":
        data[at : at + length] = bytes(min(length, len(data) - at))
    else:
        data += choice.randbytes(length)
    file.write_bytes(data)
    return f"{how} {file.name[len(path.name) :] or 'file'} at {at} ({length})"


async def test_damage_is_never_a_silent_loss(tmp_path: Path):
    original = await killed(tmp_path)
    whole = await content(copied(original, tmp_path / "whole.db"))
    assert len(whole[0]) > 20 and len(whole[1]) == 510
    refused = 0
    for number in range(DAMAGES):
        path = copied(original, tmp_path / "damaged.db")
        what = damage(path, random.Random(SEED * 10_000 + number))
        try:
            found = await content(path)
        except CompactedError:
            raise
        except StoreError as error:
            assert str(path) in str(error) and error.hint, what
            refused += 1
        else:
            assert found == whole, f"{what}: less, and nobody said so"
    assert 0 < refused < DAMAGES


async def test_a_refused_store_is_left_as_it_is(tmp_path: Path):
    path = await killed(tmp_path)
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match="it ends at revision .*, and 660 was acknowledged"
    ) as told:
        await content(path)
    assert (path.read_bytes(), log.read_bytes()) == (before, data)
    mark = Path(f"{path}-mark")
    assert str(mark) in told.value.hint
    mark.unlink()  # as the hint says: go on with what is left
    rows, _ = await content(path)
    assert rows


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
async def test_a_missing_or_empty_file_is_not_a_new_store(
    tmp_path: Path, lose: Callable[[Path], object]
):
    path = await killed(tmp_path)
    lose(path)
    with pytest.raises(StoreError, match="it ends at revision 0, and 660 was acknowledged"):
        await content(path)


async def test_a_power_cut_may_take_the_last_changes_and_says_so(
    tmp_path: Path, monkeypatch, caplog
):
    path = await killed(tmp_path)
    log = Path(f"{path}-wal")
    log.write_bytes(log.read_bytes()[:-50_000])
    monkeypatch.setattr("netemu.store.mark._boot_id", lambda: b"another boot now")
    synchronised = SqliteStore(path, fsync=True)  # there it cannot have been the power
    with pytest.raises(StoreError, match="660 was acknowledged"):
        await synchronised.open()
    rows, _ = await content(path)
    assert rows
    assert "the last changes before a power cut are lost" in caplog.text


def test_a_mark_that_is_torn_in_writing_says_what_it_said_before(tmp_path: Path):
    mark = Mark(tmp_path / "s.db")
    mark.open(5)
    mark.write(6)
    data = bytearray(mark.path.read_bytes())
    mark.path.write_bytes(data[:64] + b"\xff" * 10 + data[74:])
    found = mark.read()
    assert found is not None and found.revision in (5, 6)
    mark.path.write_bytes(b"\xff" * 128)
    assert mark.read() is None
