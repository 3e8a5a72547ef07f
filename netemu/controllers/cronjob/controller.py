"""The acting part: start Jobs in time, keep the status and the history.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import controller_of, is_deleting, key, name, namespace, uid
from netemu.controllers.context import BY_OWNER, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.cronjob import plan
from netemu.controllers.cronjob.schedule import Schedule, ScheduleError
from netemu.controllers.job.plan import is_finished
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError, TerminalError


class CronJobController(Controller):
    name: ClassVar[str] = "cronjob"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.crons = self.watch(kinds.CRON_JOBS, _own_keys)
        self.jobs = self.watch(kinds.JOBS, _job_keys)

    async def reconcile(self, key: str) -> float | None:
        cron = self.crons.get(key)
        if cron is None:
            return None
        jobs = self.jobs.by_index(BY_OWNER, uid(cron))
        active = [job for job in jobs if not is_finished(job)]
        self._tell_finished(cron, jobs)
        started, step = None, plan.Step()
        if not is_deleting(cron):
            step = plan.plan(cron, self._schedule(cron), active, self.clock.now())
            for event in step.events:
                self._tell(cron, *event)
            for job in step.replace:
                await self._delete(cron, job)
            active = [job for job in active if job not in step.replace]
            if step.start_at is not None:
                started = step.start_at
                made = await self._start(cron, started)
                if made is not None and all(uid(made) != uid(other) for other in active):
                    active.append(made)
        status = plan.desired_status(cron, active, jobs, started)
        written = await apply_status(self.client, kinds.CRON_JOBS, cron, status)
        if written is not None:
            self.writes.note(key, self.crons, written)
        for job in plan.plan_history(cron, jobs):
            await self._delete(cron, job)
        return step.again

    def _schedule(self, cron: Object) -> Schedule:
        spec = cron["spec"]
        try:
            return Schedule(spec["schedule"], spec.get("timeZone") or "")
        except ScheduleError as error:
            reason = "UnknownTimeZone" if "time zone" in str(error) else "UnparseableSchedule"
            text = f"unparseable schedule: {spec['schedule']!r} : {error}"
            self._tell(cron, "Warning", reason, text)
            raise TerminalError(f"cronjob {key(cron)}: {error}") from error

    async def _start(self, cron: Object, moment: float) -> Object | None:
        wanted = plan.desired_job(cron, moment)
        try:
            job = await self.client.create(kinds.JOBS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._tell(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            found = await self.client.get(kinds.JOBS, name(wanted), namespace(wanted))
            owner = controller_of(found)
            return found if owner and owner["uid"] == uid(cron) and not is_finished(found) else None
        self.writes.note(key(cron), self.jobs, job)
        self._tell(cron, "Normal", "SuccessfulCreate", f"Created job {name(job)}")
        return job

    async def _delete(self, cron: Object, job: Object) -> None:
        try:
            await self.client.delete(
                kinds.JOBS,
                name(job),
                namespace(job),
                uid=uid(job),
                propagation_policy="Background",
            )
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
        else:
            self.writes.deleted(key(cron), self.jobs, job)
            self._tell(cron, "Normal", "SuccessfulDelete", f"Deleted job {name(job)}")

    def _tell_finished(self, cron: Object, jobs: list[Object]) -> None:
        known = {entry["uid"] for entry in (cron.get("status") or {}).get("active") or ()}
        for job in jobs:
            if uid(job) in known and (ended := is_finished(job)):
                text = f"Saw completed job: {name(job)}, condition: {ended}"
                self._tell(cron, "Normal", "SawCompletedJob", text)

    def _tell(self, cron: Object, type_: str, reason: str, message: str) -> None:
        self.events.event(cron, kinds.CRON_JOBS, type_, reason, message)


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()


def _job_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    job = new or old
    owner = controller_of(job) if job is not None else None
    if job is None or owner is None or owner["kind"] != "CronJob":
        return ()
    return (f"{namespace(job)}/{owner['name']}",)
