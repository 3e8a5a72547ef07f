"""ipsets into a node's kernel, through `ipset restore`.

ipset(8)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from netemu.netstate import ipset
from netemu.netstate.ipset import SetValue
from netemu.node import netns


class IpsetTool:
    """The program ipset in the namespace at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def observe_sets(self) -> dict[str, SetValue]:
        out = await netns.run(self._path, ["ipset", "save"], timeout=60)
        return ipset.parse(out.decode())

    async def apply_diff(self, old: Mapping[str, SetValue], new: Mapping[str, SetValue]) -> None:
        await self.restore(ipset.diff(old, new))

    async def restore(self, commands: str) -> None:
        if commands:
            argv = ["ipset", "restore", "-exist"]
            await netns.run(self._path, argv, stdin=commands.encode(), timeout=60)

    async def destroy(self, names: Collection[str]) -> None:
        """Remove sets that no rule uses any more."""
        await self.restore("".join(f"destroy {name}\n" for name in sorted(names)))
