"""The store on a disk that is really full: an error for who writes, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netemu.store.protocol import StoreError
from netemu.store.sqlite import SqliteStore


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_takes_nothing_away(disk: Path) -> None:
    store = SqliteStore(disk / "store.db")
    await store.open()
    filler = disk / "filler"
    filler.write_bytes(bytes(700_000))
    acknowledged: dict[str, int] = {}
    refused = 0
    while refused < 3:  # several writers at once: all of a failed commit must be told
        keys = [f"/registry/{len(acknowledged)}-{refused}-{i}" for i in range(8)]
        done = await asyncio.gather(
            *(store.txn(key, 0, b"x" * 5_000) for key in keys), return_exceptions=True
        )
        for key, result in zip(keys, done, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, StoreError), result
                assert "free some space" in result.hint
                refused += 1
            else:
                acknowledged[key] = result.revision
    assert len(acknowledged) >= 16
    rows = (await store.range("/registry/")).rows
    assert {row.key: row.mod_rev for row in rows} == acknowledged
    filler.unlink()
    assert (await store.txn("/registry/after", 0, b"1")).revision == max(acknowledged.values()) + 1
    await store.close()
    again = SqliteStore(disk / "store.db")
    await again.open()
    rows = (await again.range("/registry/")).rows
    assert len(rows) == len(acknowledged) + 1
    await again.close()
