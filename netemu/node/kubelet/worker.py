"""One pod's life on this node: level-based, one step at a time, woken by whatever happened.

`update` (the object changed), `exited` (a container ended) and `probed` (a probe's verdict) only
note facts and wake the worker; `_sync` looks at what is and does what `plan` says is next.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import PODS
from netemu.errors import ApiError, NetemuError
from netemu.node.images import Program
from netemu.node.kubelet import containerspec, ending
from netemu.node.kubelet.containerspec import PodContext
from netemu.node.kubelet.context import NodeContext
from netemu.node.kubelet.dnsconfig import compile_hosts, compile_resolver, hostname
from netemu.node.kubelet.eviction import EVICTED, limited, overfull
from netemu.node.kubelet.plan import of_kind, plan_pod
from netemu.node.kubelet.probing import PodProbes
from netemu.node.kubelet.starting import pull_back_off, resolve, start_containers
from netemu.node.kubelet.states import (
    EPHEMERAL,
    RUNNING,
    SIDECAR,
    STARTING,
    TERMINATED,
    WAITING,
    ContainerState,
    Termination,
    states_of,
    termination_reason,
)
from netemu.node.kubelet.status import Circumstances, compile_status
from netemu.node.kubelet.volumefiles import VolumeError
from netemu.node.kubelet.volumes import PodVolumes
from netemu.node.podnetwork import PodRequest, PodSandbox

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.25, 10.0


class PodWorker:
    def __init__(self, context: NodeContext, pod: Object) -> None:
        self.context = context
        self.pod = pod
        self.uid = meta.uid(pod)
        self.log_directory = context.pod_directory(meta.namespace(pod), meta.name(pod), self.uid)
        self.states = states_of(pod)
        self.by_id: dict[str, ContainerState] = {}
        self.volumes = PodVolumes(context, pod)
        self.probes = PodProbes(self)
        self.allocatable: dict[str, str] = {}
        self.around = Circumstances(host_ips=context.addresses)
        self.sandbox: PodSandbox | None = None
        self.gone = False
        """The object is deleted: nobody wants this pod's status any more."""
        self.over = False
        """Nothing of the pod runs here any more, and nothing will."""
        self._ends: dict[str, list[asyncio.Future[int]]] = {}
        self.overfull = ""
        """What is too full for the pod to stay."""
        self.stopping_with: float | None = None
        """The grace period with which everything was asked to end."""
        self._wake = asyncio.Event()
        self._wake.set()
        self._deadline = 0.0
        self._retry = 0.0
        self._written: Object | None = pod.get("status")
        self._in_runtime = False
        self.finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    # Facts about the pod

    @property
    def ips(self) -> Sequence[str]:
        if self.pod["spec"].get("hostNetwork"):
            return self.context.addresses
        return self.sandbox.ips if self.sandbox else ()

    @property
    def netns(self) -> str:
        return self.sandbox.netns if self.sandbox else self.context.netns

    def pod_context(self) -> PodContext:
        return PodContext(
            node=self.context.node,
            log_directory=self.log_directory,
            ips=self.ips,
            limits=self.context.runtime.limits,
        )

    def log_path(self, state: ContainerState) -> str:
        return containerspec.log_path(self.pod_context(), state)

    # What happens to it

    def update(self, pod: Object) -> None:
        """The object changed."""
        old, self.pod = self.pod, pod
        if _relevant(old, pod):
            self._adopt_spec()
            self.wake()

    def forget(self) -> None:
        """The object is gone from the API, whether we were asked to end it or not."""
        self.gone = True
        self.wake()

    def exited(self, described: Object) -> None:
        """A container of this pod has ended."""
        state = self.by_id.get(described["id"])
        if state is None or state.id != described["id"] or state.phase == TERMINATED:
            return
        self.probes.stop(state)
        reason = termination_reason(described["code"], oom=bool(described.get("oom")))
        message = self.volumes.termination_message(self, state, described["code"])
        end = Termination(described["code"], reason, message, described["signal"])
        end.started, end.finished = described["started"], described["finished"]
        end.container_id = state.id
        state.end(end)
        for future in self._ends.pop(state.id, ()):
            if not future.done():
                future.set_result(end.code)
        self.wake()

    def watch_end(self, identifier: str, future: asyncio.Future[int]) -> None:
        """Resolve `future` with the exit code of the container that has this id."""
        self._ends.setdefault(identifier, []).append(future)

    def lost(self, kind: str, now: float) -> None:
        """A runtime died with all its containers."""
        self._in_runtime = False
        for state in self.states.values():
            if state.runtime == kind and state.alive:
                message = "the node's container runtime ended"
                described = {"id": state.id, "code": 137, "signal": 9, "finished": now}
                self.exited({**described, "started": state.started_at, "message": message})
        self.wake()

    def began(self, state: ContainerState) -> None:
        """A container's command runs: from now on it is probed."""
        self.probes.start(state)

    def wake(self) -> None:
        self._wake.set()

    def soon(self, seconds: float) -> None:
        """Look again in `seconds`, or earlier."""
        when = self.context.clock.monotonic() + seconds
        self._deadline = min(self._deadline, when) if self._deadline else when

    def _adopt_spec(self) -> None:
        """Take over what may change in a running pod: images, and new ephemeral containers."""
        for name, fresh in states_of(self.pod).items():
            state = self.states.get(name)
            if state is None:
                self.states[name] = fresh
            elif state.kind != EPHEMERAL and state.spec.get("image") != fresh.spec.get("image"):
                state.spec = fresh.spec
                if state.alive:
                    why = f"Container {name} definition changed, will be restarted"
                    self.context.spawn(self.kill(state, why), f"restart-{name}")
            else:
                state.spec = fresh.spec

    # The loop

    async def run(self) -> None:
        """Until the pod is over here. Errors are reported and tried again."""
        while not self.over:
            await self._wait()
            try:
                await self._sync()
                self._retry = 0.0
            except (NetemuError, OSError) as error:
                self._failed(error)
                await self._say_waiting()
        self.probes.stop_all()

    async def _wait(self) -> None:
        """Until woken, or until something is due."""
        if not self._wake.is_set() and self._deadline:
            left = self._deadline - self.context.clock.monotonic()
            timer = self.context.spawn(self._alarm(left), "alarm")
            await self._wake.wait()
            timer.cancel()
        else:
            await self._wake.wait()
        self._wake.clear()
        self._deadline = 0.0

    async def _alarm(self, seconds: float) -> None:
        await self.context.clock.sleep(max(0.0, seconds))
        self.wake()

    def _failed(self, error: Exception) -> None:
        self._retry = min(_LAST_RETRY, self._retry * 2 or _FIRST_RETRY)
        self.soon(self._retry)
        if isinstance(error, ApiError) and error.reason in ("NotFound", "Conflict"):
            return  # the object changed or went; the informer says how
        log.warning("pod failed", extra={"kv": {"pod": meta.key(self.pod), "error": str(error)}})
        if isinstance(error, VolumeError):
            self.context.events.warning(self.pod, "FailedMount", str(error))
        elif self.sandbox is None and not self.pod["spec"].get("hostNetwork"):
            message = f"Failed to create pod sandbox: {error}"
            self.context.events.warning(self.pod, "FailedCreatePodSandBox", message)
        else:
            self.context.events.warning(self.pod, "FailedSync", f"error syncing pod: {error}")

    async def _say_waiting(self) -> None:
        """A pod that cannot be set up is seen to be ours: its containers are being created."""
        if self._in_runtime or self.gone or meta.is_deleting(self.pod):
            return
        try:
            await self.write_status()
        except NetemuError as error:
            log.debug("status not written", extra={"kv": {"pod": self.uid, "error": str(error)}})

    async def _sync(self) -> None:
        if self.gone or meta.is_deleting(self.pod):
            await ending.terminate(self)
            return
        if self.finished:
            return
        if self.around.failed is not None:
            await self._finish_if_ended()
            return
        if not self._is_set_up() and not await self._set_up():
            return
        now = self.context.clock.now()
        if self._expired(now):
            await ending.put_down(self, "DeadlineExceeded", _DEADLINE)
            return
        if self.overfull:
            await ending.put_down(self, EVICTED, self.overfull)
            return
        maximum = self.context.config.timing.crash_loop_max
        plan = plan_pod(self.pod, self.states, now, maximum=maximum)
        self._note_waiting(plan.backing_off)
        if plan.start:
            await start_containers(self, plan.start)
        if plan.over:
            await ending.stop_sidecars(self)
        await self.write_status()
        if plan.over:
            await self._finish_if_ended()
        if any(state.phase not in (RUNNING, STARTING) for state in self.states.values()):
            if plan.start:
                self.wake()  # what comes after these
            elif plan.wake:
                self.soon(plan.wake - now)

    async def _finish_if_ended(self) -> None:
        if not self.running():
            await self.write_status()  # the last one may have ended while the former was written
            await ending.release(self)
            self.finished = True

    async def check_size(self) -> None:
        """Have the pod evicted when it has written more than it may."""
        if self.finished or self.overfull or not any(limited(self.pod)):
            return
        self.overfull = await asyncio.to_thread(overfull, self.pod, self.volumes.paths)
        if self.overfull:
            self.wake()

    def _is_set_up(self) -> bool:
        return self._in_runtime

    async def _set_up(self) -> bool:
        """Network, files, and the supervisor's part; False while the node has no pod network."""
        host_network = bool(self.pod["spec"].get("hostNetwork"))
        if not host_network and self.sandbox is None:
            if not self.context.network.ready:
                return False  # the kubelet wakes us
            request = PodRequest(
                uid=self.uid, namespace=meta.namespace(self.pod), name=meta.name(self.pod)
            )
            self.sandbox = await self.context.sandboxes.submit(request)
        self.around.pod_ips, self.around.has_network = self.ips, True
        if not self.around.started:
            self.around.started = self.context.clock.now()
        self.volumes.defer_tokens = not any(
            isinstance(resolve(self, state), Program) for state in self.states.values()
        )
        await self.volumes.prepare(self)
        await self.context.host_ports.add(self.pod, self.ips)
        await self.context.runtime.add_pod(self._entry(), self.netns)
        self._in_runtime = True
        return True

    def _entry(self) -> Object:
        """The pod as the supervisor needs it."""
        config, spec = self.context.config, self.pod["spec"]
        domain = config.cluster_domain
        found = compile_resolver(
            self.pod, self.context.resolver, cluster_dns=self.context.cluster_dns, domain=domain
        )
        for reason, message in found.warnings:
            self.context.events.warning(self.pod, reason, message)
        if found.node_warning:
            self.context.events.node_warning(self.context.node, *found.node_warning)
        host_network = bool(spec.get("hostNetwork"))
        named = self.context.node if host_network else hostname(self.pod)
        own = f"127.0.0.1\tlocalhost\n{self.context.addresses[0]}\t{self.context.node}\n"
        hosts = compile_hosts(self.pod, self.ips, domain=domain, node_hosts=own)
        files = [self.context.images.files(each.get("image") or "") for each in spec["containers"]]
        return {
            "uid": self.uid,
            "hostname": named,
            "shared": len(self.states) > 1,
            "share_pids": bool(spec.get("shareProcessNamespace")),
            "files": {
                **{path: text for each in files for path, text in each.items()},
                "etc/resolv.conf": found.file.render(),
                "etc/hosts": hosts,
                "etc/hostname": f"{named}\n",
            },
        }

    def _expired(self, now: float) -> bool:
        """Whether activeDeadlineSeconds has passed; otherwise we look again when it does."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        if limit is None or not self.around.started:
            return False
        left = self.around.started + limit - now
        if left > 0:
            self.soon(left)
        return bool(left <= 0)

    def _note_waiting(self, backing_off: Sequence[ContainerState]) -> None:
        where = f"{meta.name(self.pod)}_{meta.namespace(self.pod)}({self.uid})"
        for state in backing_off:
            if state.reason != "CrashLoopBackOff":
                delay = int(state.backoff.delay)
                state.reason = "CrashLoopBackOff"
                state.message = (
                    f"back-off {_duration(delay)} restarting failed container={state.name} "
                    f"pod={where}"
                )
                text = f"Back-off restarting failed container {state.name} in pod {where}"
                self.context.events.warning(self.pod, "BackOff", text)
        for state in self.states.values():
            if state.phase == WAITING:
                pull_back_off(self, state)

    # Status

    async def write_status(self) -> None:
        """Tell the API, if there is something new to tell."""
        if self.gone:
            return
        now = self.context.clock.now()
        self._settle()
        status = compile_status(self.pod, self.states, self.around, now)
        if status == self._written:
            return
        patch = {"metadata": {"uid": self.uid}, "status": status}
        name, space = meta.name(self.pod), meta.namespace(self.pod)
        self.pod = await self.context.client.patch(PODS, name, space, patch, subresource="status")
        self._written = status

    def _settle(self) -> None:
        """Containers without a probe are ready when they run; ended for good says how."""
        policy = self.pod["spec"].get("restartPolicy") or "Always"
        for state in self.states.values():
            if state.phase == RUNNING:
                self.probes.judge(state)
            elif state.phase == TERMINATED and policy == "Never" and state.kind != SIDECAR:
                state.reason = ""

    async def kill(self, state: ContainerState, why: str, *, grace: float | None = None) -> None:
        """End one container; its policy decides what follows."""
        if not state.alive or state.killed:
            return
        state.killed = why
        self.context.events.normal(self.pod, "Killing", why)
        if grace is None:
            grace = float(self.pod["spec"].get("terminationGracePeriodSeconds") or 0)
        await ending.stop_container(self, state, grace)

    def running(self, *kinds: str) -> list[ContainerState]:
        """Containers of these kinds (all, if none is given) that have a process."""
        chosen = of_kind(self.states, *kinds) if kinds else self.states.values()
        return [state for state in chosen if state.alive]


_DEADLINE = "Pod was active on the node longer than the specified deadline"


def _relevant(old: Object, new: Object) -> bool:
    """Whether a change of the object concerns the kubelet: not what it wrote itself."""
    if meta.is_deleting(new) or old["spec"] != new["spec"]:
        return True
    return bool(new["spec"].get("readinessGates")) and _gates(old) != _gates(new)


def _gates(pod: Object) -> list[tuple[Any, Any]]:
    named = {gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return [(each["type"], each.get("status")) for each in conditions if each["type"] in named]


def _duration(seconds: int) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
