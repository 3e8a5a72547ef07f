"""One configuration that serves: the chains of a Corefile, made without touching a socket.

So a Corefile with a mistake is found out before anything of the old one is given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from netemu.aio import spawn
from netemu.dns import corefile, plugins, wire
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, End, Failure, Plugin
from netemu.dns.runtime import Handler, Runtime
from netemu.dns.server.respond import Chain

log = logging.getLogger(__name__)

Address = tuple[str, int]


class Instance:
    """The chains for each address to listen on, and the pages for each HTTP address."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.chains: dict[Address, dict[bytes, Chain]] = {}
        self.pages: dict[Address, dict[str, Handler]] = {}
        self.plugins: list[Plugin] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def reloads(self) -> bool:
        """Whether the plugin `reload` is on."""
        return any(getattr(p, "interval", 0) for p in self.plugins if p.name == "reload")

    async def resolve(self, query: Query, block: Block) -> Reply:
        """What this configuration answers to `query` on the port of `block`."""
        query = replace(query, depth=query.depth + 1)
        table = next((t for t in self.chains.values() if _holds(t, block)), None)
        chain = None
        for start in query.starts:
            chain = chain or (table or {}).get(query.name[start:])
        if chain is None:
            return Reply(wire.REFUSED)
        try:
            return await chain.first.serve(query)
        except Failure as failure:
            return Reply(failure.rcode)

    def start(self) -> None:
        """Begin the plugins' background work."""
        self._task = spawn(self.runtime.group, self._run(), name="dns plugins")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for plugin in self.plugins:
                if type(plugin).run is not Plugin.run:
                    spawn(group, self._guard(plugin), name=f"dns plugin {plugin.name}")

    async def _guard(self, plugin: Plugin) -> None:
        """A plugin's background work may fail; the answers go on."""
        try:
            await plugin.run()
        except Exception as error:
            log.error(f"{plugin.name}: its background work failed", exc_info=error)

    async def stop(self) -> None:
        """Let plugins say good-bye, all at once, then close them."""
        await asyncio.gather(*(plugin.stop() for plugin in self.plugins))
        self.close()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for plugin in self.plugins:
            plugin.close()


def _holds(table: dict[bytes, Chain], block: Block) -> bool:
    return any(chain.block is block for chain in table.values())


def build(
    blocks: Sequence[corefile.ServerBlock], runtime: Runtime, *, listen: Sequence[Address] = ()
) -> Instance:
    """Set all plugins up; raises ConfigError and leaves nothing behind.

    `listen` replaces port 53 on all addresses, for a server that runs without rights.
    """
    instance = Instance(runtime)
    try:
        for block in blocks:
            _add(instance, block, listen)
    except BaseException:
        instance.close()
        raise
    return instance


def _add(instance: Instance, parsed: corefile.ServerBlock, listen: Sequence[Address]) -> None:
    zones = tuple(dict.fromkeys(key.zone for key in parsed.keys))
    port = parsed.keys[0].port
    block = Block(zones, f"dns://:{port}", instance.runtime)
    lines = _ordered(parsed)
    made: list[Plugin] = block.plugins
    for line in lines:
        plugin = plugins.setup(line, block)
        if plugin not in made:
            made.append(plugin)
            instance.plugins.append(plugin)
    first = link(made)
    names = {plugin.name for plugin in made}
    for zone, number in parsed.keys:
        chain = Chain(block, zone, first, f"dns://:{number}", tuple(made), wire.to_text(zone))
        chain.any_class = bool(names & {"chaos", "forward"})
        chain.metrics = block.find("prometheus")  # type: ignore[assignment]
        for address in _addresses(block, number, listen):
            table = instance.chains.setdefault(address, {})
            if zone in table:
                text = f"{wire.to_text(zone)} is served twice on {address[0]}:{address[1]}"
                parsed.directives[0].fail(text)
            table[zone] = chain
    _tell_enabled(block, zones)
    for (host, number, path), handler in block.http.items():
        instance.pages.setdefault((host, number), {})[path] = handler


def _tell_enabled(block: Block, zones: Sequence[bytes]) -> None:
    enabled = block.runtime.registry.gauge(
        "coredns_plugin_enabled",
        "A metric that indicates whether a plugin is enabled on per server and zone basis.",
        ("server", "zone", "view", "name"),
    )
    for zone in zones if block.find("prometheus") is not None else ():
        for plugin in block.plugins:
            enabled.set((block.server, wire.to_text(zone), "", plugin.name), 1)


def _ordered(parsed: corefile.ServerBlock) -> list[corefile.Line]:
    """The directives in the order of the chain; a plugin named twice is refused where it hurts."""
    seen: dict[str, int] = {}
    for line in parsed.directives:
        if line.name in seen and line.name not in plugins.REPEATABLE:
            line.fail(f"line {seen[line.name]} has it already")
        if line.name not in plugins.ORDER:
            line.fail(f"there is no such plugin; there are {', '.join(plugins.ORDER)}")
        seen[line.name] = line.number
    return sorted(parsed.directives, key=lambda line: plugins.ORDER.index(line.name))


def link(made: Sequence[Plugin]) -> Plugin:
    """Chain the plugins that serve; the first of them."""
    following: Plugin = End()
    for plugin in reversed(made):
        plugin.next = following
        if type(plugin).serve is not Plugin.serve:
            following = plugin
    return following


def _addresses(block: Block, port: int, listen: Sequence[Address]) -> list[Address]:
    if listen and port == 53:
        return list(listen)
    return [(host, port) for host in block.hosts or ("",)]
