"""Addresses as bytes, fast: a dictionary of what was seen beats parsing again."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address


@lru_cache(maxsize=200_000)
def packed(text: str) -> bytes:
    """4 or 16 bytes in network order; `text` is canonical."""
    try:
        first, second, third, fourth = text.split(".")
        return bytes((int(first), int(second), int(third), int(fourth)))
    except ValueError:  # IPv6, or no address
        return ip_address(text).packed


SAMPLES = {4: "250.251.252.253", 6: "fafb:fcfd:fafb:fcfd:fafb:fcfd:fafb:fcfd"}
"""Addresses by IP family that nothing else in a message looks like."""


def around(sample: bytes, *holes: bytes) -> tuple[bytes, ...]:
    """What stands before, between and behind `holes` in a sample message.

    Thousands of messages that differ there only are joined from these parts, not encoded anew.
    """
    parts = []
    for hole in holes:
        part, found, sample = sample.partition(hole)
        if not found:
            raise ValueError(f"the sample does not hold {hole!r} where it should")
        parts.append(part)
    return (*parts, sample)
