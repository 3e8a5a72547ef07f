"""bind: listen on these addresses only.

    bind ADDRESS|INTERFACE… {
        except ADDRESS…
    }

https://coredns.io/plugins/bind/
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from netemu.dns.corefile import Line
from netemu.dns.plugin import Block, Plugin


class Bind(Plugin):
    name = "bind"


def setup(line: Line, block: Block) -> Plugin:
    if not line.args:
        line.fail("needs an address or the name of an interface")
    without: list[str] = []
    for option in line.body:
        if option.name != "except" or not option.args:
            option.fail("is not an option of bind; there is except ADDRESS…")
        without += option.args
    for word in line.args:
        block.hosts += [host for host in _addresses(line, word) if host not in without]
    if not block.hosts:
        line.fail("no address is left to listen on")
    return Bind()


def _addresses(line: Line, word: str) -> list[str]:
    try:
        return [str(ip_address(word))]
    except ValueError:
        pass
    try:
        socket.if_nametoindex(word)
    except OSError:
        line.fail(f"{word!r} is neither an address nor an interface of this machine")
    return _interface(word)


def _interface(name: str) -> list[str]:
    """The IPv4 address of an interface (ioctl SIOCGIFADDR), and its IPv6 ones from /proc."""
    import fcntl
    import struct
    from pathlib import Path

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            packed = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()[:15]))
            found.append(socket.inet_ntoa(packed[20:24]))
        except OSError:
            pass
    six = Path("/proc/net/if_inet6")
    for line in six.read_text().splitlines() if six.exists() else ():
        words = line.split()
        if words[-1] == name and words[3] != "20":
            found.append(str(ip_address(bytes.fromhex(words[0]))))
    return found
