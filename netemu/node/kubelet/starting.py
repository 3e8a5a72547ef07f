"""Starting one container: image, configuration, environment, mounts, runtime."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import CONFIG_MAPS, SECRETS
from netemu.errors import ApiError, NetemuError
from netemu.node.images import Port, Program, StandIn, Unknown
from netemu.node.kubelet import containerspec
from netemu.node.kubelet.environment import (
    MissingReference,
    PodFacts,
    compile_environment,
    references,
)
from netemu.node.kubelet.probeports import probed_ports
from netemu.node.kubelet.states import PROCESS, RUNNING, STAND_IN, STARTING, ContainerState
from netemu.node.kubelet.states import Termination as End
from netemu.node.kubelet.volumefiles import SubPathError

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_CONFIG_RETRY = 1.0
_PULL_RETRY = 10.0


async def start_containers(worker: PodWorker, states: Sequence[ContainerState]) -> None:
    """Start `states` side by side. What is to be retried is raised when all have been tried.

    Nobody would tell how it went with one that is still starting then.
    """
    if len(states) == 1:
        await start_container(worker, states[0])
        return
    starts = (start_container(worker, state) for state in states)
    for error in await asyncio.gather(*starts, return_exceptions=True):
        if error is not None:
            raise error


async def start_container(worker: PodWorker, state: ContainerState) -> None:
    """Start `state`; whatever happens is in it afterwards. Raises only what should be retried."""
    context, pod = worker.context, worker.pod
    if state.termination is not None:
        timing = context.config.timing
        state.backoff.next(context.clock.now(), timing.crash_loop_base, timing.crash_loop_max)
        _forget_record(worker, state)
        state.restart()
        _forget_old_runs(worker, state)
    resolved = resolve(worker, state)
    if isinstance(resolved, Unknown):
        _not_pulled(worker, state, resolved.message)
        return
    try:
        environment = await _environment(worker, state)
        mounts = await worker.volumes.mounts(state, environment)
    except (MissingReference, SubPathError) as error:
        _not_configured(worker, state, str(error))
        return
    if containerspec.runs_as_root_although_forbidden(pod, state.spec):
        message = "container has runAsNonRoot and image will run as root"
        _not_configured(worker, state, f"{message} (pod: {meta.key(pod)}, container: {state.name})")
        return
    state.id = secrets.token_hex(32)
    state.phase, state.reason, state.message = STARTING, "ContainerCreating", ""
    worker.by_id[state.id] = state
    try:
        described = await _run(worker, state, resolved, environment, mounts)
    except (NetemuError, OSError):
        if state.phase == STARTING:  # or nobody would start it again
            worker.by_id.pop(state.id, None)
            state.wait("ContainerCreating")
        raise
    _started(worker, state, described)


def _forget_record(worker: PodWorker, state: ContainerState) -> None:
    """The runtime need not remember a run that is history."""
    worker.by_id.pop(state.id, None)
    if state.id and state.runtime:
        removal = worker.context.runtime.remove(state.runtime, [state.id])
        worker.context.spawn(removal, f"remove-{state.id[:12]}")


def _forget_old_runs(worker: PodWorker, state: ContainerState) -> None:
    """Logs are kept of this run and of the one before it."""
    old = Path(worker.log_path(state)).with_name(f"{state.restarts - 2}.log")
    for path in (old, old.with_name(old.name + ".1")):
        path.unlink(missing_ok=True)


def resolve(worker: PodWorker, state: ContainerState) -> Program | StandIn | Unknown:
    """What runs for this container; a stand-in also serves the ports that its probes ask."""
    container = state.spec
    ports = containerspec.declared_ports(container)
    found = worker.context.images.resolve(
        container.get("image") or "",
        container.get("command") or (),
        container.get("args") or (),
        ports,
    )
    if isinstance(found, StandIn) and found.program in ("", "hpa-example"):
        return _listening_also(found, probed_ports(container))
    if isinstance(found, StandIn) and found.program == "porter":
        names = [each["name"] for each in container.get("env") or ()]
        told = [name.rpartition("_")[2] for name in names if name.startswith(containerspec.PORTER)]
        return _listening_also(found, [int(port) for port in told if port.isdigit()])
    return found


def _listening_also(found: StandIn, ports: Iterable[int]) -> StandIn:
    """The stand-in with TCP ports that the container does not declare."""
    have = {(port.port, port.protocol) for port in found.ports}
    more = [Port(port=number) for number in ports if (number, "TCP") not in have]
    return replace(found, ports=(*found.ports, *more)) if more else found


def _not_pulled(worker: PodWorker, state: ContainerState, message: str) -> None:
    image = state.spec.get("image")
    events, pod = worker.context.events, worker.pod
    events.normal(pod, "Pulling", f'Pulling image "{image}"')
    events.warning(pod, "Failed", f'Failed to pull image "{image}": {message}')
    events.warning(pod, "Failed", "Error: ErrImagePull")
    state.wait("ErrImagePull", message)
    state.backoff.delay = min(300.0, state.backoff.delay * 2 or _PULL_RETRY)
    state.not_before = worker.context.clock.now() + state.backoff.delay
    worker.soon(1.0)  # then it says ImagePullBackOff


def pull_back_off(worker: PodWorker, state: ContainerState) -> None:
    """After a failed pull has been seen, the container says that it waits for the next."""
    if state.reason == "ErrImagePull":
        image = state.spec.get("image")
        message = f'Back-off pulling image "{image}"'
        worker.context.events.normal(worker.pod, "BackOff", message)
        worker.context.events.warning(worker.pod, "Failed", "Error: ImagePullBackOff")
        state.wait("ImagePullBackOff", f"{message}: ErrImagePull: {state.message}")


def _not_configured(worker: PodWorker, state: ContainerState, message: str) -> None:
    if state.message != message:
        worker.context.events.warning(worker.pod, "Failed", f"Error: {message}")
    state.wait("CreateContainerConfigError", message)
    state.not_before = worker.context.clock.now() + _CONFIG_RETRY


async def _environment(worker: PodWorker, state: ContainerState) -> Mapping[str, str]:
    pod = worker.pod
    lookup: dict[tuple[str, str], Object | None] = {}
    for kind, name in references(state.spec):
        lookup[kind, name] = await get_config(worker, kind, name)
    facts = PodFacts(
        pod_ips=tuple(worker.ips),
        host_ips=tuple(worker.context.addresses),
        allocatable=worker.allocatable,
    )
    services = worker.context.services_of(meta.namespace(pod))
    return compile_environment(pod, state.spec, facts, services, lookup)


async def get_config(worker: PodWorker, kind: str, name: str) -> Object | None:
    """A ConfigMap or Secret of the pod's namespace, or None."""
    resource = CONFIG_MAPS if kind == "ConfigMap" else SECRETS
    try:
        return await worker.context.client.get(resource, name, meta.namespace(worker.pod))
    except ApiError as error:
        if error.reason == "NotFound":
            return None
        raise


async def _run(
    worker: PodWorker,
    state: ContainerState,
    resolved: Program | StandIn,
    environment: Mapping[str, str],
    mounts: list[Object],
) -> Object:
    runtime, pod, around = worker.context.runtime, worker.pod, worker.pod_context()
    if isinstance(resolved, StandIn):
        state.runtime = STAND_IN
        spec = containerspec.standin_spec(pod, state, resolved, environment, around)
        described = await runtime.start_standin(spec, worker.netns)
        lazy = containerspec.lazy_spec(pod, state, {**resolved.env, **environment}, mounts)
        runtime.register_lazy(lazy)
        return described
    state.runtime = PROCESS
    mounts = [*mounts, worker.volumes.termination_file(worker, state)]
    spec = containerspec.process_spec(pod, state, resolved, environment, mounts, around)
    target = worker.states.get(state.spec.get("targetContainerName") or "")
    if target is not None and target.alive and target.runtime == PROCESS:
        spec["pids_of"] = target.id  # a debugger sees the processes that it was sent to
    return await runtime.start_process(spec)


def _started(worker: PodWorker, state: ContainerState, described: Object) -> None:
    events, pod, image = worker.context.events, worker.pod, state.spec.get("image")
    present = f'Container image "{image}" already present on machine'
    events.normal(pod, "Pulled", present)
    events.normal(pod, "Created", f"Created container: {state.name}")
    if described["state"] == "failed":
        _refused(worker, state, described)
        return
    events.normal(pod, "Started", f"Started container {state.name}")
    if state.phase != STARTING:
        return  # it has ended already, and `exited` said so
    state.phase, state.reason = RUNNING, ""
    state.started_at = described["started"]
    if described["state"] == "exited":
        worker.exited(described)
    else:
        worker.began(state)


def _refused(worker: PodWorker, state: ContainerState, described: Object) -> None:
    message = described["message"]
    worker.context.events.warning(worker.pod, "Failed", f"Error: {message}")
    end = End(128, "StartError", message, container_id=state.id)
    end.finished = described["finished"]
    state.end(end)
    state.reason, state.message = "RunContainerError", message
