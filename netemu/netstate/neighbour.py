"""Permanent neighbour (ARP, NDP) entries, as values. ip-neighbour(8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Neighbour:
    """`address` answers at `mac` on link `device`."""

    device: str
    address: str
    mac: str
