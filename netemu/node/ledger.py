"""What a cluster owns on this machine, written down before it is made.

One line of JSON an entry, appended with one write: `+` owns, `-` no longer owns. So after `kill -9`
at any step nothing exists that is not listed; what is listed may not exist (any more), and removing
that is a no-op. Several processes may append (O_APPEND is atomic on a local file system).

Kinds and their fields:
    netns    path                 a named namespace
    link     name, mac            a link in the machine's own namespace
    process  pid, start_time      a process (proc(5): field 22 of stat, because pids are reused)
    mount    path                 a mount in the machine's own mount namespace
    file     path                 a file or symbolic link
    dir      path                 a directory with all that is in it
O_APPEND in open(2)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from netemu.node.appending import append

KINDS = ("process", "link", "mount", "netns", "file", "dir")

Field = str | int


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the cluster owns."""

    kind: str
    what: tuple[tuple[str, Field], ...]

    def __getitem__(self, field: str) -> Field:
        return dict(self.what)[field]

    def __str__(self) -> str:
        return f"{self.kind} " + " ".join(str(value) for _, value in self.what)


class Ledger:
    """The ledger of the cluster whose run directory is `run_dir`."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "ledger"

    def record(self, kind: str, **what: Field) -> None:
        """Own something; to be called before it is made."""
        self.record_all(kind, (what,))

    def record_all(self, kind: str, things: Iterable[Mapping[str, Field]]) -> None:
        """Own many things of one kind, with one write."""
        self._append("+", kind, things)

    def forget(self, kind: str, **what: Field) -> None:
        """Own it no longer; to be called after it is gone."""
        self.forget_all(kind, (what,))

    def forget_all(self, kind: str, things: Iterable[Mapping[str, Field]]) -> None:
        self._append("-", kind, things)

    def entries(self) -> list[Entry]:
        """What is owned, oldest first."""
        return parse(self.path.read_text() if self.path.exists() else "")

    def _append(self, sign: str, kind: str, things: Iterable[Mapping[str, Field]]) -> None:
        if kind not in KINDS:
            raise ValueError(f"the ledger knows no kind {kind!r}")
        lines = [f"{sign}{json.dumps({'kind': kind, **thing})}\n" for thing in things]
        if lines:
            append(self.path, "".join(lines))


def parse(text: str) -> list[Entry]:
    """Entries that `text` leaves owned; torn lines are skipped: what they name was never made."""
    owned: dict[Entry, None] = {}
    for line in text.splitlines():
        try:
            fields = json.loads(line[1:])
            entry = Entry(fields.pop("kind"), tuple(sorted(fields.items())))
        except (ValueError, KeyError, AttributeError):
            continue
        if line[0] == "+":
            owned[entry] = None
        else:
            owned.pop(entry, None)
    return list(owned)
