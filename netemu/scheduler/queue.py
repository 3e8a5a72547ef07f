"""Pods that wait for a node: the important first, then the older; those that fit nowhere rest.

A pod that fitted nowhere comes back when something changed that may help it, but not at once: its
attempts are spaced out, or one hopeless pod would be tried for each pod that ends.
https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/backend/queue/scheduling_queue.go
"""

from __future__ import annotations

import heapq
import itertools

from netemu.scheduler.model import Pod

FIRST_BACKOFF, LAST_BACKOFF = 0.02, 10.0
"""kube-scheduler starts at 1 s; a cluster that comes up within a second must not wait for it."""


class SchedulingQueue:
    """Times are those of a monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self._active: list[tuple[int, str, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._resting: set[str] = set()
        self._pods: dict[str, Pod] = {}
        self._attempts: dict[str, tuple[int, float]] = {}
        self._order = itertools.count()

    def add(self, pod: Pod) -> None:
        """A new pod, or one whose spec has changed."""
        known = self._pods.get(pod.uid)
        self._pods[pod.uid] = pod
        if known is None or pod.uid in self._resting:
            self._resting.discard(pod.uid)
            self._activate(pod)

    def _activate(self, pod: Pod) -> None:
        heapq.heappush(self._active, (-pod.priority, pod.created, next(self._order), pod.uid))

    def refresh(self, pod: Pod) -> None:
        """The pod's object has changed in a way that does not help it."""
        if pod.uid in self._pods:
            self._pods[pod.uid] = pod

    def remove(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._resting.discard(uid)
        self._attempts.pop(uid, None)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def pop(self, now: float) -> Pod | None:
        """The next pod to try; it leaves the queue until `failed`."""
        while self._backoff and self._backoff[0][0] <= now:
            uid = heapq.heappop(self._backoff)[2]
            if uid in self._pods:
                self._activate(self._pods[uid])
        while self._active:
            uid = heapq.heappop(self._active)[3]
            pod = self._pods.get(uid)
            if pod is not None and uid not in self._resting:
                del self._pods[uid]
                return pod
        return None

    def failed(self, pod: Pod, now: float, *, retry: bool = False) -> None:
        """It fitted nowhere: rest until `wake`. `retry`: an error, try again after its backoff."""
        attempts, _ = self._attempts.get(pod.uid, (0, 0.0))
        delay = min(FIRST_BACKOFF * 2 ** min(attempts, 30), LAST_BACKOFF)
        self._attempts[pod.uid] = (attempts + 1, now + delay)
        self._pods[pod.uid] = pod
        if retry:
            heapq.heappush(self._backoff, (now + delay, next(self._order), pod.uid))
        else:
            self._resting.add(pod.uid)

    def done(self, uid: str) -> None:
        """It was bound."""
        self._attempts.pop(uid, None)

    def wake(self, now: float) -> None:
        """Something changed that may help: resting pods come back after their backoff."""
        for uid in sorted(self._resting):
            _, until = self._attempts.get(uid, (0, 0.0))
            if until <= now:
                self._activate(self._pods[uid])
            else:
                heapq.heappush(self._backoff, (until, next(self._order), uid))
        self._resting.clear()

    def next_due(self) -> float | None:
        """When the first backoff ends."""
        return self._backoff[0][0] if self._backoff else None

    @property
    def resting(self) -> int:
        return len(self._resting)

    def __len__(self) -> int:
        return len(self._pods)
