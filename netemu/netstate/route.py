"""Routes of a node's main table, as values. ip-route(8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Route:
    """`destination` is address/length; `gateway` empty: directly reachable on `device`.

    `onlink`: the gateway is taken to be reachable although no route of its own says so.
    """

    destination: str
    device: str
    gateway: str = ""
    onlink: bool = False
