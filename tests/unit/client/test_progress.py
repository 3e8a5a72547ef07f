"""Barriers and components that come late."""

from __future__ import annotations

import asyncio

import pytest

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS, PODS, SECRETS
from netemu.apiserver.server import ApiServer
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError

RESOLVER = "dns/coredns-1"


async def test_an_expected_component_is_waited_for_until_its_first_report(
    client: ApiClient, server: ApiServer, monkeypatch: pytest.MonkeyPatch
):
    waits, tell_all = asyncio.Event(), server.cache.bookmark_all
    before = (await client.list(SECRETS)).revision
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    server.progress.expect(RESOLVER)
    with pytest.raises(ApiError, match=f"waiting for {RESOLVER}"):
        await client.barrier(timeout=0.05)

    async def resolve():
        """It comes back from a former server, and nothing that it watches has changed."""
        async for event in client.watch(SECRETS, revision=before):
            server.progress.report(RESOLVER, event.revision)

    monkeypatch.setattr(server.cache, "bookmark_all", lambda: (tell_all(), waits.set()))
    async with asyncio.TaskGroup() as group:
        waiting = spawn(group, client.barrier(), name="barrier")
        await waits.wait()
        resolver = spawn(group, resolve(), name="resolver")
        done = await waiting
        resolver.cancel()
    assert done["components"][RESOLVER] >= meta.revision(made)
    assert server.cache.barriers == 0


async def test_what_is_expected_no_longer_is_not_waited_for(client: ApiClient, server: ApiServer):
    server.progress.expect(RESOLVER)
    server.progress.forget(RESOLVER)
    assert RESOLVER not in (await client.barrier(timeout=60))["components"]


async def test_the_last_words_of_a_resolver_are_not_waited_for(
    client: ApiClient, server: ApiServer
) -> None:
    """Its pod is deleted by force, and its process reports once more before it ends."""
    spec = {"containers": [{"name": "c", "image": "coredns"}]}
    pod = {"metadata": {"name": "coredns-1", "namespace": "kube-system"}, "spec": spec}
    await client.create(PODS, pod)
    await client.report_progress(RESOLVER, 1)
    await client.delete(PODS, "coredns-1", "kube-system", grace_period_seconds=0)
    await client.report_progress(RESOLVER, 2)
    assert RESOLVER not in (await client.barrier(timeout=60))["components"]
    await client.create(PODS, pod)
    await client.report_progress(RESOLVER, (await client.list(PODS)).revision)
    assert RESOLVER in (await client.barrier(timeout=60))["components"]
