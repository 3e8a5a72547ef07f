"""Start all controllers, and tell when they have nothing left to do.

informers = Informers(client)
manager = ControllerManager(context)
scheduler = Scheduler(client, informers, clock, events)
async with TaskGroup() as group:          # the owner runs informers, event queue, and these two
    spawn(group, informers.run(), …); spawn(group, manager.run(), …); …
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from netemu.aio import spawn
from netemu.api import kinds
from netemu.api.kind import Resource
from netemu.controllers.autoscaling.controller import HorizontalPodAutoscalerController
from netemu.controllers.autoscaling.metrics import PodMetrics
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.cronjob.controller import CronJobController
from netemu.controllers.daemonset.controller import DaemonSetController
from netemu.controllers.deployment.controller import DeploymentController
from netemu.controllers.disruption import DisruptionController
from netemu.controllers.endpointslice.controller import EndpointSliceController
from netemu.controllers.endpointslice.endpoints import EndpointsController
from netemu.controllers.endpointslice.members import ServicePods
from netemu.controllers.endpointslice.mirroring import EndpointSliceMirroringController
from netemu.controllers.garbage.controller import GarbageCollector
from netemu.controllers.job.controller import JobController
from netemu.controllers.loadbalancer import LoadBalancerController
from netemu.controllers.namespace import NamespaceController
from netemu.controllers.nodeipam import NodeIpamController
from netemu.controllers.nodelifecycle.eviction import TaintEviction
from netemu.controllers.nodelifecycle.monitor import NodeMonitor
from netemu.controllers.nodelifecycle.orphans import PodGarbageCollector
from netemu.controllers.progress import EndpointsProgress
from netemu.controllers.replicaset import ReplicaSetController, ReplicationControllerController
from netemu.controllers.resourcequota import ResourceQuotaController
from netemu.controllers.serviceaccount import ServiceAccountController
from netemu.controllers.servicecidr import ServiceCidrController
from netemu.controllers.statefulset.controller import StatefulSetController
from netemu.controllers.volumes.binder import Reclaim, VolumeBinder
from netemu.controllers.volumes.ephemeral import EphemeralVolumeController
from netemu.controllers.volumes.protection import VolumeProtection

Resources = Callable[[], Iterable[Resource]]


def _all_kinds() -> Iterable[Resource]:
    return kinds.ALL


class ControllerManager:
    """All controllers of one cluster, on one set of informers."""

    def __init__(
        self,
        context: ControllerContext,
        *,
        resources: Resources = _all_kinds,
        root_ca: str = "",
        metrics: PodMetrics | None = None,
        reclaim: Reclaim | None = None,
    ) -> None:
        """`resources()`: every kind that is served now. `root_ca`: PEM of the cluster's CA.

        `metrics`: the pods' usage, for autoscalers. `reclaim(path)`: remove a volume's directory.
        """
        self._context = context
        members = ServicePods(context)
        self.garbage = GarbageCollector(context, resources)
        endpoints: tuple[Controller, ...] = (
            EndpointSliceController(context, members),
            EndpointSliceMirroringController(context),
            LoadBalancerController(context),
        )
        self._progress = EndpointsProgress(context.client, endpoints)
        self.controllers: tuple[Controller, ...] = (
            NodeIpamController(context),
            ServiceCidrController(context),
            ServiceAccountController(context, root_ca),
            NamespaceController(context, resources),
            DeploymentController(context),
            ReplicaSetController(context),
            ReplicationControllerController(context),
            StatefulSetController(context),
            DaemonSetController(context),
            JobController(context),
            CronJobController(context),
            *endpoints,
            EndpointsController(context, members),
            NodeMonitor(context),
            TaintEviction(context),
            PodGarbageCollector(context),
            DisruptionController(context),
            EphemeralVolumeController(context),
            VolumeBinder(context, reclaim),
            VolumeProtection(context),
            ResourceQuotaController(context, resources),
            HorizontalPodAutoscalerController(context, metrics),
            self.garbage,
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for controller in self.controllers:
                spawn(group, controller.run(), name=controller.name)
            spawn(group, self._progress.run(), name="endpoints-progress")

    @property
    def idle(self) -> bool:
        """Whether no controller works on anything or has anything waiting, delays apart."""
        return not any(c.busy or len(c.queue) or c.held for c in self.controllers)
