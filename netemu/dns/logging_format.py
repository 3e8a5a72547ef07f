"""Log lines as CoreDNS writes them, so that what people grep for in `kubectl logs` is there.

[INFO] 10.244.1.3:50759 - 29008 "A IN web.default.svc.cluster.local. udp 47 false 512" NOERROR …
[ERROR] plugin/errors: 2 example.org. A: 10.0.0.1:53: no answer within 2 s
https://coredns.io/plugins/log/
"""

from __future__ import annotations

import logging
import sys

_LEVELS = {"CRITICAL": "FATAL"}
_PLUGINS = "netemu.dns.plugins."
_UNNAMED = frozenset({"log"})
"""Whose lines have no `plugin/NAME:` in front."""


class CoreDnsFormatter(logging.Formatter):
    """`[LEVEL] plugin/NAME: text`; other parts of the resolver have no name."""

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname)
        plugin = record.name.removeprefix(_PLUGINS)
        named = plugin != record.name and plugin not in _UNNAMED
        text = record.getMessage()
        pairs = getattr(record, "kv", None)
        if isinstance(pairs, dict):
            text = " ".join([text, *(f"{key}={value}" for key, value in pairs.items())])
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"[{level}] plugin/{plugin}: {text}" if named else f"[{level}] {text}"


def configure(level: str) -> None:
    """Log to standard error in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CoreDnsFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
