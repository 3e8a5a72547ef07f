"""health: `/health` on `[ADDRESS]` (:8080) says OK as long as the process lives.

    health [ADDRESS] {
        lameduck DURATION
    }

`lameduck`: on the way out, say that we are going and still serve for DURATION, so that no client
asks an address that is gone. Every second it asks itself and counts failures.
https://coredns.io/plugins/health/
"""

from __future__ import annotations

import asyncio
import logging

from netemu.dns.corefile import Line
from netemu.dns.plugin import Block, Plugin, duration_of, duration_text, listen_of, one_arg

log = logging.getLogger(__name__)

DEFAULT = ":8080"
POLL = 1.0
PATIENCE = 3.0


class Health(Plugin):
    name = "health"

    def __init__(self, block: Block, host: str, port: int) -> None:
        self.runtime = block.runtime
        self.address = (host or "127.0.0.1", port)
        self.key = (host, port)
        self.lameduck = 0.0
        self.durations = block.runtime.registry.histogram(
            "coredns_health_request_duration_seconds",
            "Histogram of the time (in seconds) each request took.",
        )
        self.failures = block.runtime.registry.counter(
            "coredns_health_request_failures_total", "The number of times the health check failed."
        )

    def answer(self) -> tuple[int, str, bytes]:
        return 200, "text/plain; charset=utf-8", b"OK"

    async def run(self) -> None:
        """Ask ourselves; a full backlog or a stuck loop shows up here."""
        clock = self.runtime.clock
        self.failures.add((), 0)
        while True:
            await clock.sleep(POLL)
            started = clock.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._ask()
            except (OSError, TimeoutError) as error:
                self.failures.add()
                log.warning(f"local health request to {self.address} failed: {error}")
            self.durations.add((), clock.monotonic() - started)

    async def _ask(self) -> None:
        host, port = self.address
        if port == 0:
            return
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: health\r\n\r\n")
            if not (await reader.read(64)).startswith(b"HTTP/1.1 200"):
                raise OSError("no 200 came back")
        finally:
            writer.close()

    async def stop(self) -> None:
        if self.lameduck:
            log.info(f"Going into lameduck mode for {duration_text(self.lameduck)}")
            await self.runtime.clock.sleep(self.lameduck)


def setup(line: Line, block: Block) -> Plugin:
    if len(line.args) > 1:
        line.fail("takes at most one address")
    host, port = listen_of(line, line.args[0] if line.args else DEFAULT)
    plugin = Health(block, host, port)
    for option in line.body:
        if option.name != "lameduck":
            option.fail("is not an option of health; there is lameduck")
        plugin.lameduck = duration_of(option, one_arg(option))
    block.http[host, port, "/health"] = plugin.answer
    return plugin
