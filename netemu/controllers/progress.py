"""Tell barriers how far the endpoints are: "applied" means that packets flow.

A proxy that has seen revision R knows nothing of the EndpointSlices that R is going to cause. So
the controllers that write what proxies read are a barrier's component as well, and are waited for
before the proxies are (apiserver/progress.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from netemu.client.protocol import ApiClient
from netemu.controllers.controller import Controller

COMPONENT = "controllers/endpoints"


class EndpointsProgress:
    """Reports the revision up to which `controllers` have done everything."""

    def __init__(self, client: ApiClient, controllers: Sequence[Controller]) -> None:
        self._client, self._controllers = client, tuple(controllers)
        self._moved = asyncio.Event()
        informers = {informer for c in controllers for informer in c.informers}
        for controller in controllers:
            controller.on_done(self._moved.set)
        for informer in informers:
            informer.on_progress(lambda revision: self._moved.set())
            informer.on_bookmark(self._hurry)

    def _hurry(self) -> None:
        for controller in self._controllers:
            controller.hurry()

    async def run(self) -> None:
        """Until cancelled."""
        reported = 0
        for controller in self._controllers:
            for informer in controller.informers:
                await informer.wait_synced()
        while True:
            revision = min(controller.settled_revision for controller in self._controllers)
            if revision > reported:
                reported = revision
                await self._client.report_progress(COMPONENT, revision)
            await self._moved.wait()
            self._moved.clear()
