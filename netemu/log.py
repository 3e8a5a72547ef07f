"""Logging set up once, at the edge: text for people, one JSON object a line for machines.

Modules use `logging.getLogger(__name__)` with a constant message and `extra={"kv": {...}}`.
INFO says that state changed, DEBUG tells every sync.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO


def _pairs(record: logging.LogRecord) -> dict[str, Any]:
    pairs = getattr(record, "kv", None)
    return pairs if isinstance(pairs, dict) else {}


class TextFormatter(logging.Formatter):
    """`12:01:02.345 INFO netemu.node.agent pod started pod=default/web-0`."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        pairs = " ".join(f"{key}={value}" for key, value in _pairs(record).items())
        line = super().format(record)
        return f"{line} {pairs}" if pairs else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": record.created,
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
            **_pairs(record),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(
    level: str = "INFO", *, json_lines: bool = False, stream: TextIO | None = None
) -> None:
    """Send everything of `level` and above to `stream` (standard error by default)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
