"""From a query's bytes to a reply's: the rules of the header, the server block, the chain.

Most answers need no waiting. So the chain is started here, without a task; only when it has to wait
does a task carry it on. That saves a task and two turns of the loop a query.
"""

from __future__ import annotations

import asyncio
import logging
import time
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netemu.aio import spawn
from netemu.dns import message, wire
from netemu.dns.message import LASTING, Query, Reply
from netemu.dns.plugin import Block, Failure, Plugin

if TYPE_CHECKING:
    from netemu.dns.plugins.metrics import Metrics

log = logging.getLogger(__name__)

MAX_PENDING = 20_000
"""Queries that wait for an upstream at one time; more are answered SERVFAIL at once."""

Send = Callable[[bytes, Query | None, Reply | None], None]
"""Gets the reply's bytes (none: say nothing), and what they were made from, if it can be told."""


@dataclass(slots=True)
class Chain:
    """A server block that serves: its first plugin and what belongs to it."""

    block: Block
    zone: bytes
    first: Plugin
    server: str
    plugins: tuple[Plugin, ...]
    label: str
    """The zone as the metrics call it."""
    metrics: Metrics | None = None
    any_class: bool = False
    """Whether a class other than IN is let through (`chaos`, `forward`)."""


class Responder:
    """Answers for one port; `chains` maps the zones served there, and is swapped by a reload."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group
        self.chains: dict[bytes, Chain] = {}
        self.pending = 0

    def chain_for(self, query: Query) -> Chain | None:
        """The server block with the longest zone that holds the name."""
        name, chains = query.name, self.chains
        for start in query.starts:
            chain = chains.get(name[start:])
            if chain is not None:
                return chain
        return None

    def respond(
        self,
        data: bytes,
        client: tuple[Any, ...],
        local: tuple[Any, ...],
        proto: str,
        family: int,
        send: Send,
    ) -> None:
        """Answer `data` through `send`, now or later; not at all where silence is the answer."""
        refusal = message.accept(data)
        if refusal is not None:
            if refusal >= 0:
                send(message.header_only(data, refusal), None, None)
            return
        try:
            query = message.parse(data)
        except wire.Malformed:
            send(message.header_only(data, wire.FORMERR), None, None)
            return
        query.client, query.local, query.proto, query.family = client, local, proto, family
        if proto == "udp":
            query.limit = max(512, query.edns.size) if query.edns is not None else 512
        self._answer(query, send)

    def _answer(self, query: Query, send: Send) -> None:
        chain = self.chain_for(query)
        if chain is None or (query.qclass != wire.IN and not chain.any_class):
            self._finish(query, Reply(wire.REFUSED, keep=LASTING), chain, None, send)
            return
        if query.edns is not None and query.edns.version != 0:
            self._finish(query, Reply(wire.BADVERS), chain, None, send)
            return
        query.zone, query.server = chain.zone, chain.server
        started = time.perf_counter()
        running = chain.first.serve(query)
        try:
            awaited = running.send(None)
        except StopIteration as done:
            self._finish(query, done.value, chain, started, send)
        except Exception as error:  # whatever a plugin did, the server goes on
            self._finish(query, self._failed(query, error, chain), chain, started, send)
        else:
            self._later(query, running, awaited, chain, started, send)

    def _later(
        self,
        query: Query,
        running: Coroutine[Any, Any, Reply],
        awaited: Any,
        chain: Chain,
        started: float,
        send: Send,
    ) -> None:
        if self.pending >= MAX_PENDING:
            running.close()
            self._finish(query, Reply(wire.SERVFAIL), chain, started, send)
            return
        self.pending += 1
        spawn(
            self.group,
            self._wait(query, running, awaited, chain, started, send),
            name="dns query",
        )

    async def _wait(
        self,
        query: Query,
        running: Coroutine[Any, Any, Reply],
        awaited: Any,
        chain: Chain,
        started: float,
        send: Send,
    ) -> None:
        try:
            reply = await carry_on(running, awaited)
        except Exception as error:
            reply = self._failed(query, error, chain)
        finally:
            self.pending -= 1
        try:
            self._finish(query, reply, chain, started, send)
        except Exception as error:  # raised from a task, it would end the server
            log.error("a reply could not be sent", exc_info=error)

    def _failed(self, query: Query, error: Exception, chain: Chain) -> Reply:
        if isinstance(error, Failure):
            return Reply(error.rcode)
        if chain.metrics is not None:
            chain.metrics.panics += 1
        log.error(
            "a plugin failed",
            exc_info=error,
            extra={"kv": {"name": wire.to_text(query.name), "type": wire.type_name(query.qtype)}},
        )
        return Reply(wire.SERVFAIL)

    def _finish(
        self, query: Query, reply: Reply, chain: Chain | None, started: float | None, send: Send
    ) -> None:
        try:
            data = message.encode(query, reply)
        except Exception as error:  # a plugin made a record that has no wire form
            log.error("a reply cannot be sent", exc_info=error)
            reply = Reply(wire.SERVFAIL)
            data = message.encode(query, reply)
        if chain is not None and chain.metrics is not None:
            elapsed = 0.0 if started is None else time.perf_counter() - started
            zone = chain.label if started is not None else "dropped"
            reply.sample = chain.metrics.sample(query, reply, zone, len(data))
            reply.sample.add(1, elapsed)
        if not reply.silent:
            send(data, query, reply)
        else:
            send(b"", None, None)


@types.coroutine
def carry_on(running: Coroutine[Any, Any, Reply], awaited: Any) -> Generator[Any, Any, Reply]:
    """Await the rest of a coroutine that was started by hand and waits for `awaited`."""
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            awaited = running.send(value) if thrown is None else running.throw(thrown)
        except StopIteration as done:
            reply: Reply = done.value
            return reply
