"""Which pods a node has networks for: an append-only log that a new daemon reads.

Written before a sandbox is made and after it is gone, with one write a batch. So a pod that is
listed may be half-made; whether the holder has its namespace tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netemu.node.appending import append


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRecord:
    """`link`, `index`: the node's end of the pair. `path`: where its namespace is found."""

    uid: str
    namespace: str
    name: str
    ips: tuple[str, ...]
    link: str
    index: int
    path: str


class SandboxLog:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, records: Iterable[SandboxRecord]) -> None:
        self._append("".join(_line(record) for record in records))

    def remove(self, uids: Iterable[str]) -> None:
        self._append("".join(f"-{uid}\n" for uid in uids))

    def read(self) -> dict[str, SandboxRecord]:
        """Records by uid, oldest first; a torn last line is skipped."""
        records: dict[str, SandboxRecord] = {}
        text = self._path.read_text() if self._path.exists() else ""
        for line in text.splitlines():
            if line.startswith("-"):
                records.pop(line[1:], None)
                continue
            try:
                fields = json.loads(line)
                record = SandboxRecord(**{**fields, "ips": tuple(fields["ips"])})
            except (ValueError, TypeError, KeyError):
                continue
            records[record.uid] = record
        return records

    def rewrite(self, records: Iterable[SandboxRecord]) -> None:
        """Forget history."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text("".join(_line(record) for record in records))
        temporary.rename(self._path)

    def _append(self, text: str) -> None:
        if text:
            append(self._path, text)


def _line(record: SandboxRecord) -> str:
    fields = {name: getattr(record, name) for name in SandboxRecord.__slots__}
    return json.dumps(fields) + "\n"
