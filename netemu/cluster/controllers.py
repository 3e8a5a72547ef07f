"""Controllers and scheduler of a cluster on one set of informers, with their events."""

from __future__ import annotations

import asyncio

from netemu.aio import Clock, spawn
from netemu.client.eventqueue import EventQueue
from netemu.client.events import EventRecorder
from netemu.client.informers import Informers
from netemu.client.protocol import ApiClient
from netemu.cluster.volumes import VolumeDirectories
from netemu.config import ClusterConfig
from netemu.controllers.autoscaling.metrics import PodMetrics
from netemu.controllers.context import ControllerContext
from netemu.controllers.manager import ControllerManager
from netemu.scheduler.scheduler import Scheduler


class Controllers:
    """kube-controller-manager and kube-scheduler."""

    def __init__(
        self,
        client: ApiClient,
        config: ClusterConfig,
        clock: Clock,
        *,
        root_ca: str,
        metrics: PodMetrics | None = None,
    ) -> None:
        self._informers = Informers(client, clock=clock)
        self._events = EventQueue(
            EventRecorder(client, "kube-controller-manager", clock=clock), clock
        )
        self._scheduling = EventQueue(
            EventRecorder(client, "default-scheduler", clock=clock), clock
        )
        context = ControllerContext(
            client=client,
            informers=self._informers,
            clock=clock,
            events=self._events,
            config=config,
        )
        volumes = VolumeDirectories(config.data_dir / "volumes")
        self.manager = ControllerManager(
            context, root_ca=root_ca, metrics=metrics, reclaim=volumes.reclaim
        )
        self.scheduler = Scheduler(
            client, self._informers, clock, self._scheduling, max_pods=config.max_pods
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            spawn(group, self._informers.run(), name="informers")
            spawn(group, self._events.run(), name="controller-events")
            spawn(group, self._scheduling.run(), name="scheduler-events")
            spawn(group, self.manager.run(), name="controllers")
            spawn(group, self.scheduler.run(), name="scheduler")
