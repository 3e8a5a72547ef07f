"""Link-layer addresses and link names that follow from what they belong to.

An address that is a function of the IP address means that a neighbour entry never grows stale when
an address is given out again. 0a:58 is the prefix that the CNI plugins used for just that; the
second bit says "locally administered", the first "unicast" (IEEE 802).
"""

from __future__ import annotations

import hashlib
import socket

LINK_NAME_LENGTH = 15


def mac_of(address: str) -> str:
    """The MAC of the link that has the IPv4 or IPv6 address: 10.244.1.7 -> 0a:58:0a:f4:01:07."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (b"\x0a\x58" + socket.inet_pton(family, address)[-4:]).hex(":")


def random_like_mac(*parts: str) -> str:
    """A locally administered unicast MAC, the same for the same parts."""
    digest = bytearray(hashlib.sha256("\0".join(parts).encode()).digest()[:6])
    digest[0] = digest[0] & 0xFE | 0x02
    return digest.hex(":")


def link_name(wanted: str) -> str:
    """`wanted` itself when it is short enough for a link, else cut with a hash of the whole."""
    if len(wanted) <= LINK_NAME_LENGTH:
        return wanted
    return wanted[:8] + hashlib.sha256(wanted.encode()).hexdigest()[:7]


def veth_name(uid: str, index: int) -> str:
    """The node's end of a pod's pair: `veth` and eight hex digits, as the bridge plugin has it."""
    return "veth" + hashlib.sha256(f"{uid}/{index}".encode()).hexdigest()[:8]
