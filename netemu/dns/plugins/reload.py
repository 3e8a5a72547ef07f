"""reload: serve a changed Corefile without a restart.

    reload [INTERVAL] [JITTER]        (30s 15s)
    reload off

A Corefile in a file is read again each INTERVAL plus up to JITTER. One in a ConfigMap is watched,
so it counts at once: a real cluster's wait (a mount's lag of a minute or two, then the interval)
would only be slow here. A Corefile with a mistake is refused with its line; the old one serves on.
https://coredns.io/plugins/reload/
"""

from __future__ import annotations

from netemu.dns.corefile import Line
from netemu.dns.plugin import Block, Plugin, duration_of

MIN_INTERVAL, MIN_JITTER = 2.0, 1.0


class Reload(Plugin):
    name = "reload"

    def __init__(self, block: Block, interval: float, jitter: float) -> None:
        self.runtime = block.runtime
        self.interval, self.jitter = interval, jitter

    async def run(self) -> None:
        read = self.runtime.read_corefile
        while read is not None and self.interval > 0:
            wait = self.interval + self.runtime.random.uniform(0, self.jitter)
            await self.runtime.clock.sleep(wait)
            self.runtime.offer_corefile(read())


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    if len(line.args) > 2:
        line.fail("takes [INTERVAL] [JITTER], or off")
    interval, jitter = 30.0, 15.0
    if line.args == ("off",):
        return Reload(block, 0.0, 0.0)
    if line.args:
        interval = max(MIN_INTERVAL, duration_of(line, line.args[0]))
        jitter = interval / 2
    if len(line.args) > 1:
        jitter = max(MIN_JITTER, duration_of(line, line.args[1]))
    return Reload(block, interval, min(jitter, interval / 2))
