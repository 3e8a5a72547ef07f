"""The daemon's side of the pipe to whoever started it: steps, then `ready` or `error`."""

from __future__ import annotations

import os
from typing import Any

import msgspec


class Report:
    """Writes one JSON object a line. The reader may be gone; that is not the daemon's problem."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def step(self, text: str) -> None:
        self._say({"step": text})

    def ready(self, **details: Any) -> None:
        self._say({"ready": details})
        self.close()

    def error(self, message: str, hint: str = "") -> None:
        self._say({"error": message, "hint": hint})
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _say(self, message: dict[str, Any]) -> None:
        if self._descriptor < 0:
            return
        try:
            os.write(self._descriptor, msgspec.json.encode(message) + b"\n")
        except OSError:
            self.close()
