"""The SQLite file: a log of all changes, and which log row is each key's present one.

A commit is a single INSERT statement of many rows; triggers keep `cur`. One statement means that
the writer thread needs the interpreter lock twice a commit, not twice a row, and that SQLite makes
the whole of it atomic. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from netemu.store.index import Change
from netemu.store.protocol import Event, Row, StoreError

VERSION = 1

_SCHEMA = """
CREATE TABLE log (
  rev INTEGER PRIMARY KEY, key TEXT NOT NULL, create_rev INTEGER NOT NULL,
  prev_rev INTEGER NOT NULL, value BLOB
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

_ROWS = """SELECT cur.key, log.value, log.create_rev, log.rev FROM cur JOIN log USING (rev)"""
_EVENTS = """
SELECT new.rev, new.key, new.value, old.value, new.create_rev
FROM log AS new LEFT JOIN log AS old ON old.rev = new.prev_rev
WHERE new.rev > ? AND new.key >= ? AND new.key < ? ORDER BY new.rev
"""
LARGEST_INSERT = 256


def connect(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Open the file, make the schema when it is new, and check that it is whole and ours."""
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={'FULL' if fsync else 'NORMAL'}")
        db.execute("PRAGMA busy_timeout=5000")
        db.execute("PRAGMA journal_size_limit=67108864")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        elif version != VERSION:
            raise StoreError(
                f"{path}: written by another version of netemu (schema {version})",
                hint="use that version, or remove the cluster with `netemu clean`",
            )
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    return db


def damaged(path: Path, error: sqlite3.Error) -> StoreError:
    """The error to show for what SQLite says."""
    if "full" in str(error):
        return StoreError(f"{path}: {error}", hint="free some space; nothing acknowledged is lost")
    return StoreError(
        f"{path}: {error}", hint="the file is kept as it is; restore it, or start a new cluster"
    )


def check(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file whose present objects are not all there."""
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        lost = db.execute(
            "SELECT count(*) FROM cur LEFT JOIN log USING (rev) WHERE log.value IS NULL"
        ).fetchone()[0]
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    if found != "ok" or lost:
        raise damaged(path, sqlite3.DatabaseError(found if found != "ok" else f"{lost} rows lost"))


def insert(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write at most LARGEST_INSERT changes in one atomic statement."""
    values: list[object] = []
    for change in changes:
        before = change.before.mod_rev if change.before else 0
        values += (change.revision, change.key, change.create_rev, before, change.value)
    db.execute(f"INSERT INTO log VALUES {','.join(['(?,?,?,?,?)'] * len(changes))}", values)


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
    return [Row(*row) for row in found]


def rows_at(db: sqlite3.Connection, prefix: str, after: str, limit: int, rev: int) -> list[Row]:
    """The rows as they were: today's that are old enough, and what later changes replaced."""
    low, high = max(prefix, after), above(prefix)
    old = db.execute(
        f"{_ROWS} WHERE cur.key >= ? AND cur.key < ? AND cur.key <> ? AND cur.rev <= ?"
        " ORDER BY cur.key LIMIT ?",
        (low, high, after, rev, limit or -1),
    )
    replaced = db.execute(
        """SELECT old.key, old.value, old.create_rev, old.rev
        FROM log AS new JOIN log AS old ON old.rev = new.prev_rev
        WHERE new.rev > ? AND old.rev <= ? AND new.key >= ? AND new.key < ? AND new.key <> ?""",
        (rev, rev, low, high, after),
    )
    found = sorted(Row(*row) for row in (*old, *replaced))
    return found[:limit] if limit else found


def events(db: sqlite3.Connection, prefix: str, after: int) -> list[Event]:
    return [
        Event._make((*row, None)) for row in db.execute(_EVENTS, (after, prefix, above(prefix)))
    ]


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
