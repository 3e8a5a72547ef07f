"""ipsets into a node's kernel, through one persistent nfnetlink socket. Blocking: helper threads.

A changed endpoint changes an entry of the hairpin set, and starting `ipset` for it would take
longer than all the rest. ipset(8), nfnetlink
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from netemu.errors import DataplaneError
from netemu.netstate import ipsetwire
from netemu.netstate.ipset import Command, SetValue
from netemu.node import netns
from netemu.node.netlink import NetlinkSocket, Refusal

_NETLINK_NETFILTER = 12
_IN_USE = 4100

Owner = Callable[[Command], str]
_PAUSES = (0.001, 0.01, 0.1, 0.3)


class IpsetSocket:
    """The sets of the namespace at `path`."""

    def __init__(self, path: str) -> None:
        self._node = os.path.basename(path)
        raw = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._netlink = NetlinkSocket(self._node, raw, what="ipset request")

    def close(self) -> None:
        self._netlink.close()

    def observe_sets(self) -> dict[str, SetValue]:
        listed = self._netlink.dump(ipsetwire.SAVE, ipsetwire.ALL_SETS)
        return ipsetwire.parse_listing(payload for _, payload in listed)

    def apply(self, commands: Sequence[Command], owner: Owner = lambda _: "") -> None:
        """Carry out all that the kernel takes; the first one that it refuses is raised.

        `owner` tells what a command is done for: users know that better than the set.
        """
        for refusal in self.send([self._encode(command, owner) for command in commands]):
            raise self._error(commands[refusal.message], refusal, owner)

    def takes(self, blobs: Iterable[bytes]) -> bool:
        """Send messages, several in one; whether the kernel took all."""
        return self._netlink.takes(blobs)

    def send(self, messages: Sequence[bytes]) -> list[Refusal]:
        """`apply` for commands that are encoded already; what the kernel refused."""
        return self._netlink.try_all(messages)

    def destroy(self, names: Collection[str]) -> None:
        """Remove sets that no rule uses any more. nf_tables lets go of a deleted rule's set a
        moment after it said that the rule is gone."""
        commands = [Command("destroy", name, "") for name in sorted(names)]
        for pause in (*_PAUSES, None):
            refused = self.send([ipsetwire.encode(command) for command in commands])
            for refusal in refused:
                if refusal.errno != _IN_USE or pause is None:
                    raise self._error(commands[refusal.message], refusal, lambda _: "")
            if not refused or pause is None:
                return
            commands = [commands[refusal.message] for refusal in refused]
            time.sleep(pause)

    def _encode(self, command: Command, owner: Owner) -> bytes:
        """What no bytes can say (port 70000) is refused like what the kernel refuses."""
        try:
            return ipsetwire.encode(command)
        except (ValueError, OverflowError, KeyError) as error:
            raise DataplaneError(self._node, _named(command, owner), stderr=str(error)) from error

    def _error(self, command: Command, refusal: Refusal, owner: Owner) -> DataplaneError:
        why = ipsetwire.REFUSALS.get(refusal.errno) or os.strerror(refusal.errno)
        named = _named(command, owner)
        return DataplaneError(self._node, named, errno=refusal.errno, stderr=why)


def _named(command: Command, owner: Owner) -> str:
    whose = owner(command)
    return f"{command.text} ({whose})" if whose else command.text
