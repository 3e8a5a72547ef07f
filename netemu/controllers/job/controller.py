"""The acting part: run a Job's pods, count them, and clean up after it.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import (
    controller_of,
    is_deleting,
    key,
    metadata,
    name,
    namespace,
    split_key,
    uid,
)
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.claim import Claimer, owner_keys
from netemu.controllers.conditions import find
from netemu.controllers.context import BY_NAMESPACE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.job import plan
from netemu.controllers.job.counting import FINALIZER, Counts, count, has_finalizer
from netemu.controllers.job.plan import Step
from netemu.controllers.job.pods import desired_worker, matches
from netemu.controllers.podcontrol import PodControl
from netemu.controllers.selecting import matcher, selects
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError

OWN_NAME = "kubernetes.io/job-controller"
"""What spec.managedBy says of a Job that is ours."""
_TOLD = {
    "Complete": ("Normal", "Completed", "Job completed"),
    "Suspended": ("Normal", "Suspended", "Job suspended"),
}


class JobController(Controller):
    name: ClassVar[str] = "job"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.jobs = self.watch(kinds.JOBS, _own_keys)
        self.pods = self.watch(kinds.PODS, owner_keys(kinds.JOBS, self.jobs, selects))
        self.control = PodControl(
            client=self.client,
            events=self.events,
            writes=self.writes,
            pods=self.pods,
            owner_kind=kinds.JOBS,
        )
        self.claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.JOBS,
            child_kind=kinds.PODS,
            children=self.pods,
        )

    def pause(self, key: str) -> float:
        job = self.jobs.get(key)
        size = int(job["spec"].get("parallelism") or 1) if job else 0
        return min(size / 20_000, 0.05) if size > 20 else 0.0

    async def reconcile(self, key: str) -> float | None:
        job = self.jobs.get(key)
        if job is None:
            await self._release(key, self._orphans(key))
            return None
        if job["spec"].get("managedBy", OWN_NAME) != OWN_NAME:
            return None  # somebody else's work
        pods = await self._claim(job)
        if plan.is_finished(job):
            await self._release(key, [pod for pod in pods if has_finalizer(pod)])
            return await self._expire(job)
        now = self.clock.now()
        counts = count(job, pods)
        step = Step() if is_deleting(job) else plan.plan(job, pods, counts, now)
        status = plan.desired_status(job, pods, counts, step, now)
        # First write down what is over, then let go of it: a crash in between counts nothing twice.
        written = await apply_status(self.client, kinds.JOBS, job, status)
        if written is not None:
            self.writes.note(key, self.jobs, written)
            self._tell(job, step)
        await self._release(key, counts.release)
        await self._apply(job, counts, step)
        return step.again

    def _orphans(self, job: str) -> list[Object]:
        """Pods that wait to be counted by a Job that is gone."""
        space, named = split_key(job)
        return [
            pod
            for pod in self.pods.by_index(BY_NAMESPACE, space)
            if has_finalizer(pod) and _job_of(pod) == named
        ]

    async def _claim(self, job: Object) -> list[Object]:
        own = matcher(job)
        empty = not job["spec"].get("selector")
        return await self.claimer.claim(job, lambda pod: matches(job, pod) if empty else own(pod))

    async def _apply(self, job: Object, counts: Counts, step: Step) -> None:
        if step.forgive:
            await self._release(key(job), [pod for pod in step.delete if has_finalizer(pod)])
        errors = await self.control.delete(job, step.delete)
        if step.create:
            numbers = step.indexes or [None] * step.create
            workers = [desired_worker(job, number, counts.replace) for number in numbers]
            errors += await self.control.create(job, workers)
        if errors:
            raise errors[0]

    async def _release(self, job: str, pods: Sequence[Object]) -> None:
        """Take the finalizer off pods that are counted."""

        async def release(pod: Object) -> None:
            kept = [f for f in metadata(pod).get("finalizers") or () if f != FINALIZER]
            version = metadata(pod)["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version, "finalizers": kept or None}}
            try:
                freed = await self.client.patch(kinds.PODS, name(pod), namespace(pod), patch)
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
            else:
                self.writes.note(job, self.pods, freed)

        errors = await apply_side_by_side(pods, release)
        if errors:
            raise errors[0]

    async def _expire(self, job: Object) -> float | None:
        """ttlSecondsAfterFinished."""
        left = plan.ttl_left(job, self.clock.now())
        if left is None or left > 0 or is_deleting(job):
            return left if left is None or left > 0 else None
        try:
            await self.client.delete(
                kinds.JOBS,
                name(job),
                namespace(job),
                uid=uid(job),
                propagation_policy="Foreground",
            )
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
        return None

    def _tell(self, job: Object, step: Step) -> None:
        """Events for conditions that are new."""
        before = (job.get("status") or {}).get("conditions") or ()
        for condition in step.conditions:
            old = find(before, condition["type"])
            if old is not None and old["status"] == condition["status"]:
                continue
            told = _TOLD.get(condition["type"])
            if condition["type"] == "Failed":
                told = ("Warning", condition["reason"], condition["message"])
            elif condition["type"] == "Suspended" and condition["status"] == "False":
                told = ("Normal", "Resumed", "Job resumed")
            if told is not None:
                self.events.event(job, kinds.JOBS, *told)


def _job_of(pod: Object) -> str:
    owner = controller_of(pod)
    return str(owner["name"]) if owner is not None and owner["kind"] == "Job" else ""


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()
