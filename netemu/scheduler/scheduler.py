"""The loop: take the most important pod, decide, bind; say why when nothing fits.

Decisions are made one after the other, each seeing the one before; the bindings are written side by
side. https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
"""

from __future__ import annotations

import asyncio
import logging

from netemu.aio import Clock, spawn
from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import labels, timestamp, uid
from netemu.client.informers import Informers
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError
from netemu.scheduler.cache import SchedulerCache
from netemu.scheduler.decide import decide
from netemu.scheduler.explain import explain
from netemu.scheduler.model import Pod, pod_from_object
from netemu.scheduler.preemptor import Preemptor
from netemu.scheduler.queue import SchedulingQueue
from netemu.scheduler.recorder import Recorder

log = logging.getLogger(__name__)

NAME = "default-scheduler"
_AT_ONCE = 200
"""Bindings under way before the loop lets others run."""


class Scheduler:
    def __init__(
        self,
        client: ApiClient,
        informers: Informers,
        clock: Clock,
        events: Recorder,
        *,
        name: str = NAME,
        max_pods: int = 1023,
    ) -> None:
        self._client, self._clock, self._events, self._name = client, clock, events, name
        self.cache = SchedulerCache(max_pods)
        self.queue = SchedulingQueue()
        self.preemptor = Preemptor(client, informers, clock, events)
        self._pods = informers.of(kinds.PODS)
        self._nodes = informers.of(kinds.NODES)
        self._namespaces = informers.of(kinds.NAMESPACES)
        self._wake = asyncio.Event()
        self._start = 0
        self.binding = 0
        """Bindings that are being written."""
        self._pods.on_change(self._pod_changed)
        self._nodes.on_change(self._node_changed)

    # --- events -------------------------------------------------------------------------------

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._left(uid(old))
        if new is None:
            return
        spec, status = new["spec"], new.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            self._left(uid(new))
        elif spec.get("nodeName"):
            self.queue.remove(uid(new))
            self._placed(old, new)
        elif (spec.get("schedulerName") or NAME) == self._name:
            self._waits(old, new)

    def _left(self, pod: str) -> None:
        self.queue.remove(pod)
        self.preemptor.forget(pod)
        if self.cache.forget(pod):
            self._something_changed()

    def _placed(self, old: Object | None, new: Object) -> None:
        """Known where it is: only what others look at has to be taken over again."""
        there = self.cache.node_of(uid(new)) == new["spec"]["nodeName"]
        if there and old is not None and _looks_the_same(old, new):
            return
        self.cache.place(self._parsed(new), new["spec"]["nodeName"])

    def _parsed(self, pod: Object) -> Pod:
        if not pod["spec"].get("affinity"):
            return pod_from_object(pod)
        spaces = self._namespaces.objects
        return pod_from_object(pod, {where: labels(space) for where, space in spaces.items()})

    def _waits(self, old: Object | None, new: Object) -> None:
        if self.cache.node_of(uid(new)):
            return  # chosen already; its binding is being written
        pod = self._parsed(new)
        if pod.terminating or pod.gated:
            self.queue.remove(pod.uid)
        elif pod.uid in self.queue and old is not None and _asks_the_same(old, new):
            self.queue.refresh(pod)
        else:
            self.queue.add(pod)
            self._wake.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self.cache.remove_node(old["metadata"]["name"])
        elif self.cache.set_node(new):
            self._something_changed()

    def _something_changed(self) -> None:
        if self.queue.resting:
            self.queue.wake(self._clock.monotonic())
            self._wake.set()

    # --- the loop -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. The informers are run by their owner."""
        await self._pods.wait_synced()
        await self._nodes.wait_synced()
        await self._namespaces.wait_synced()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                await self._drain(group)
                await self._sleep()

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        decided = 0
        while (pod := self.queue.pop(self._clock.monotonic())) is not None:
            self._try(group, pod)
            decided += 1
            if decided % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _sleep(self) -> None:
        due = self.queue.next_due()
        if due is None:
            await self._wake.wait()
            return
        async with asyncio.TaskGroup() as group:
            pause = spawn(
                group, self._clock.sleep(due - self._clock.monotonic()), name="scheduler-backoff"
            )
            woken = spawn(group, self._wake.wait(), name="scheduler-woken")
            await asyncio.wait((pause, woken), return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
            woken.cancel()

    def _try(self, group: asyncio.TaskGroup, pod: Pod) -> None:
        nodes = self.preemptor.seen_by(pod, self.cache.nodes())
        found = decide(pod, nodes, self._start)
        if nodes:
            self._start = (self._start + found.looked_at) % len(nodes)
        if found.node:
            self.cache.place(pod, found.node)
            self.binding += 1
            spawn(group, self._bind(pod, found.node), name=f"bind {pod.key}")
            return
        self.queue.failed(pod, self._clock.monotonic())
        choice = self.preemptor.plan(pod, nodes, found.reasons)
        if choice is not None:
            self.preemptor.nominate(pod, choice)
            spawn(group, self.preemptor.evict(pod, choice), name=f"preempt for {pod.key}")
        helped = choice is not None or self.preemptor.is_waiting(pod)
        why = explain(found.reasons, preempted=not helped)
        spawn(group, self._refuse(pod, why), name=f"refuse {pod.key}")

    # --- what is written ----------------------------------------------------------------------

    async def _bind(self, pod: Pod, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.update(kinds.PODS, binding, subresource="binding")
        except ApiError as error:
            self._unbound(pod, error)
        except OSError as error:
            self._unbound(pod, ApiError("ServiceUnavailable", str(error)))
        else:
            self.queue.done(pod.uid)
            self.preemptor.forget(pod.uid)
            text = f"Successfully assigned {pod.key} to {node}"
            self._tell(pod, "Normal", "Scheduled", text)
        finally:
            self.binding -= 1

    def _unbound(self, pod: Pod, error: ApiError) -> None:
        """The binding failed: unless the pod is gone or bound by somebody else, once more."""
        present = self._pods.get(pod.key)
        if error.reason == "NotFound" or present is None or uid(present) != pod.uid:
            self.cache.forget(pod.uid)
        elif not present["spec"].get("nodeName"):
            self.cache.forget(pod.uid)
            self.queue.failed(pod, self._clock.monotonic(), retry=True)
            self._wake.set()
        log.debug("binding failed", extra={"kv": {"pod": pod.key, "error": str(error)}})

    async def _refuse(self, pod: Pod, message: str) -> None:
        """Say in the pod's status and in an event why it cannot run."""
        self._tell(pod, "Warning", "FailedScheduling", message)
        present = self._pods.get(pod.key)
        if present is None or uid(present) != pod.uid:
            return
        conditions = (present.get("status") or {}).get("conditions") or []
        old = next((c for c in conditions if c["type"] == "PodScheduled"), None)
        if old is not None and old.get("message") == message:
            return
        same = old is not None and old["status"] == "False"
        now = timestamp(self._clock.now())
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": old["lastTransitionTime"] if old and same else now,
            "reason": "Unschedulable",
            "message": message,
        }
        kept = [c for c in conditions if c["type"] != "PodScheduled"]
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [*kept, condition]}}
        try:
            await self._client.patch(
                kinds.PODS, pod.name, pod.namespace, patch, subresource="status"
            )
        except (ApiError, OSError) as error:
            log.debug("status not written", extra={"kv": {"pod": pod.key, "error": str(error)}})

    def _tell(self, pod: Pod, type_: str, reason: str, message: str) -> None:
        subject = {"metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}}
        self._events.event(subject, kinds.PODS, type_, reason, message)


def _looks_the_same(old: Object, new: Object) -> bool:
    before, after = old["metadata"], new["metadata"]
    return all(before.get(field) == after.get(field) for field in ("labels", "deletionTimestamp"))


def _asks_the_same(old: Object, new: Object) -> bool:
    """Whether only the status, or an annotation, has changed: no reason for another attempt."""
    return bool(old["spec"] == new["spec"]) and _looks_the_same(old, new)
