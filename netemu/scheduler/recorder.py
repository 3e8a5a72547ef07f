"""How the scheduler tells users something; client.eventqueue.EventQueue does it."""

from __future__ import annotations

from typing import Protocol

from netemu.api.kind import Object, Resource


class Recorder(Protocol):
    def event(
        self, obj: Object, resource: Resource, type: str, reason: str, message: str
    ) -> None: ...
