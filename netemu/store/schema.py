"""The SQLite file: a log of all changes, and which log row is each key's present one.

A commit is a single INSERT statement of many rows; triggers keep `cur`. One statement means that
the writer thread needs the interpreter lock twice a commit, not twice a row, and that SQLite makes
the whole of it atomic. Each row has a checksum, because SQLite has none: it would hand out whatever
a disk made of it. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import errno
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from netemu.store.index import Change
from netemu.store.protocol import Event, Row, StoreError

VERSION = 2

_SCHEMA = """
CREATE TABLE log (
  rev INTEGER PRIMARY KEY, key TEXT NOT NULL, create_rev INTEGER NOT NULL,
  prev_rev INTEGER NOT NULL, value BLOB, sum INTEGER NOT NULL
);
CREATE TABLE cur (key TEXT PRIMARY KEY, rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER put AFTER INSERT ON log WHEN new.value IS NOT NULL BEGIN
  INSERT OR REPLACE INTO cur VALUES (new.key, new.rev);
END;
CREATE TRIGGER remove AFTER INSERT ON log WHEN new.value IS NULL BEGIN
  DELETE FROM cur WHERE key = new.key;
END;
INSERT INTO meta VALUES ('compacted', 0);
"""

_ROWS = "SELECT log.* FROM cur JOIN log USING (rev)"
_EVENTS = """
SELECT new.*, old.* FROM log AS new LEFT JOIN log AS old ON old.rev = new.prev_rev
WHERE new.rev > ? AND new.key >= ? AND new.key < ? ORDER BY new.rev
"""
_COLUMNS = 6
LARGEST_INSERT = 256


def connect(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Open the file, and make the schema when it is new."""
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={'FULL' if fsync else 'NORMAL'}")
        db.execute("PRAGMA busy_timeout=5000")
        db.execute("PRAGMA journal_size_limit=67108864")
        if not _version(db, path):
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    return db


def damaged(path: Path, error: Exception) -> StoreError:
    """The error to show for what SQLite says."""
    if "full" in str(error) or getattr(error, "errno", 0) == errno.ENOSPC:
        return StoreError(f"{path}: {error}", hint="free some space; nothing acknowledged is lost")
    return StoreError(
        f"{path}: {error}", hint="the file is kept as it is; restore it, or start a new cluster"
    )


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 when there is none yet; StoreError when it is not ours."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version not in (0, VERSION):
        raise StoreError(
            f"{path}: written by another version of netemu (schema {version})",
            hint="use that version, or remove the cluster with `netemu clean`",
        )
    return version


def inspect(path: Path) -> int:
    """The last revision of a file, 0 when there is nothing yet; StoreError when it is damaged.

    Read-only: even closing a damaged file otherwise would throw away what its log still holds.
    """
    if not path.exists() or not path.stat().st_size:
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            if not _version(db, path):
                return 0
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found == "ok":
                found = _incomplete(db)
            if found:
                raise sqlite3.DatabaseError(found)
            return newest(db)
    except (sqlite3.Error, UnicodeDecodeError, TypeError) as error:
        raise damaged(path, error) from error


_FILED = "SELECT rev, log.key = cur.key AND value IS NOT NULL FROM cur LEFT JOIN log USING (rev)"


def _incomplete(db: sqlite3.Connection) -> str:
    """What of the rows does not fit together, empty when all does."""
    filed = dict(db.execute(_FILED).fetchall())
    wrong = sum(not right for right in filed.values())
    if wrong:
        return f"{wrong} objects are lost"
    log = db.execute("SELECT rev, prev_rev, value IS NULL FROM log").fetchall()
    superseded = {before for _, before, _ in log}
    unfiled = sum(
        not deleted and rev not in filed and rev not in superseded for rev, _, deleted in log
    )
    if unfiled:
        return f"{unfiled} objects are not filed"
    floor = max(compacted(db), 1)  # an empty store is at 1
    missing = newest(db) - floor - sum(rev > floor for rev, _, _ in log)
    return f"{missing} changes are missing" if missing else ""


def insert(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write at most LARGEST_INSERT changes in one atomic statement."""
    values: list[object] = []
    for change in changes:
        before = change.before.mod_rev if change.before else 0
        row = (change.revision, change.key, change.create_rev, before, change.value)
        values += (*row, _sum(*row))
    db.execute(f"INSERT INTO log VALUES {','.join(['(?,?,?,?,?,?)'] * len(changes))}", values)


def _sum(rev: int, key: str, create_rev: int, prev_rev: int, value: bytes | None) -> int:
    return zlib.crc32(value or b"", zlib.crc32(f"{rev} {create_rev} {prev_rev} {key}".encode()))


def _sound(row: Any) -> Any:
    """A row of `log` that is as it was written."""
    if _sum(*row[:5]) != row[5]:
        raise sqlite3.DatabaseError(f"{row[1]!r} at revision {row[0]} is not as it was written")
    return row


def newest(db: sqlite3.Connection) -> int:
    """The revision of the last change; an empty store is at 1, as etcd is."""
    found = db.execute("SELECT max(rev) FROM log").fetchone()[0]
    return max(int(found or 1), compacted(db))


def compacted(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()[0])


def above(prefix: str) -> str:
    """The least string greater than all that start with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"


def rows(db: sqlite3.Connection, prefix: str, after: str, limit: int) -> list[Row]:
    """The present rows in key order."""
    low = max(prefix, after)
    found = db.execute(
        f"{_ROWS} WHERE cur.key >= ? AND cur.key < ? AND cur.key <> ? ORDER BY cur.key LIMIT ?",
        (low, above(prefix), after, limit or -1),
    )
    return [_row(row) for row in found]


def _row(row: Any) -> Row:
    rev, key, create_rev, _, value, _ = _sound(row)
    return Row(key, value, create_rev, rev)


def rows_at(db: sqlite3.Connection, prefix: str, after: str, limit: int, rev: int) -> list[Row]:
    """The rows as they were: today's that are old enough, and what later changes replaced."""
    low, high = max(prefix, after), above(prefix)
    old = db.execute(
        f"{_ROWS} WHERE cur.key >= ? AND cur.key < ? AND cur.key <> ? AND cur.rev <= ?"
        " ORDER BY cur.key LIMIT ?",
        (low, high, after, rev, limit or -1),
    )
    replaced = db.execute(
        """SELECT old.* FROM log AS new JOIN log AS old ON old.rev = new.prev_rev
        WHERE new.rev > ? AND old.rev <= ? AND new.key >= ? AND new.key < ? AND new.key <> ?""",
        (rev, rev, low, high, after),
    )
    found = sorted(_row(row) for row in (*old, *replaced))
    return found[:limit] if limit else found


def events(db: sqlite3.Connection, prefix: str, after: int) -> list[Event]:
    found = []
    for row in db.execute(_EVENTS, (after, prefix, above(prefix))):
        rev, key, create_rev, _, value, _ = _sound(row[:_COLUMNS])
        before = row[_COLUMNS:]
        prev_value = _sound(before)[4] if before[0] is not None else None
        found.append(Event(rev, key, value, prev_value, create_rev, None))
    return found


def log_bytes(path: Path) -> int:
    """The size of a store's log, which is there when the last process did not close it."""
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0


def checkpoint(db: sqlite3.Connection) -> None:
    """Move what is in the log to its place, and begin the log anew.

    The next write would do that, and wait for the disk: so one without meaning is made here.
    """
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    db.execute(f"PRAGMA user_version={VERSION}")


def compact(db: sqlite3.Connection, floor: int, limit: int) -> int:
    """Forget what was superseded in the next `limit` revisions up to `floor`; returns how far."""
    done = compacted(db)
    until = min(floor, done + limit)
    if until <= done:
        return done
    db.execute("BEGIN IMMEDIATE")
    try:
        span = (done, until)
        db.execute(
            "DELETE FROM log WHERE rev IN"
            " (SELECT prev_rev FROM log WHERE rev > ? AND rev <= ? AND prev_rev > 0)",
            span,
        )
        db.execute("DELETE FROM log WHERE rev > ? AND rev <= ? AND value IS NULL", span)
        db.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (until,))
        db.execute("COMMIT")
    except sqlite3.Error:
        db.execute("ROLLBACK")
        raise
    return until
