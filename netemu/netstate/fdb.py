"""Forwarding entries of a VXLAN device, as values. bridge(8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FdbEntry:
    """Frames for `mac` on `device` go to the node at `destination`."""

    device: str
    mac: str
    destination: str
