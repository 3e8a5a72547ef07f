"""Builders for tests of the resolver's parts: a running configuration without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from netemu.aio import FakeClock
from netemu.dns import corefile, wire
from netemu.dns.kube.objects import CLUSTER_IP, Port, Service
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin
from netemu.dns.runtime import Runtime
from netemu.dns.server.instance import Instance, build, link


class Scripted(Plugin):
    """The end of a chain under test: answers with what the test says, and counts."""

    name = "scripted"

    def __init__(self, answer: Callable[[Query], Reply | Awaitable[Reply]]) -> None:
        self.answer = answer
        self.asked: list[Query] = []

    async def serve(self, query: Query) -> Reply:
        self.asked.append(query)
        reply = self.answer(query)
        return reply if isinstance(reply, Reply) else await reply


def question(name: str, kind: str = "A", **fields: Any) -> Query:
    asked = wire.from_text(name)
    lower = asked.lower()
    starts = tuple(wire.offsets(lower))
    return Query(1, wire.RD, asked, lower, starts, wire.type_number(kind), **fields)


def service(key: str, address: bytes) -> Service:
    return Service(key, CLUSTER_IP, (address,), (Port("http", "tcp", 80),), b"")


class Bench:
    """A runtime with a fake clock, and ways to set plugins up in it."""

    def __init__(self, group: asyncio.TaskGroup, root: Path) -> None:
        self.clock = FakeClock()
        self.runtime = Runtime(group, clock=self.clock, root=root, seed=1, local=["192.0.2.53"])
        self.instances: list[Instance] = []

    def plugin(self, text: str, end: Scripted) -> Plugin:
        """The plugin of one directive, in front of `end`."""
        from netemu.dns import plugins

        (block,) = corefile.parse(f". {{\n{text}\n}}")
        made = plugins.setup(block.directives[0], Block((wire.ROOT,), "dns://:53", self.runtime))
        link([made, end])
        return made

    def instance(self, text: str) -> Instance:
        made = build(corefile.parse(text), self.runtime)
        self.runtime.instance = made
        self.instances.append(made)
        return made


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        made = Bench(group, tmp_path)
        yield made
        for instance in made.instances:
            instance.close()


@pytest.fixture
def ask() -> Callable[..., Query]:
    return question


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def cluster_ip() -> Callable[[str, bytes], Service]:
    return service
