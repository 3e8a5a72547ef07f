"""What the API server asks of this node: logs, commands, attachments, ports.

Texts are Kubernetes', because clients print (and some match) them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from netemu.api import meta
from netemu.client.kubelet import LogOptions
from netemu.errors import ApiError, DataplaneError
from netemu.node import netns
from netemu.node.kubelet import logread
from netemu.node.kubelet.sessions import AttachSession, CommandSession, SocketSession
from netemu.node.kubelet.states import STAND_IN, ContainerState
from netemu.node.kubelet.worker import PodWorker

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def find_container(worker: PodWorker, name: str) -> ContainerState:
    """The container called `name`, or the pod's only one."""
    pod = meta.name(worker.pod)
    if not name:
        mains = [each["name"] for each in worker.pod["spec"]["containers"]]
        chosen = meta.annotations(worker.pod).get(_DEFAULT_CONTAINER, "")
        if len(mains) > 1 and chosen not in mains:
            raise ApiError(
                "BadRequest",
                f"a container name must be specified for pod {pod}, choose one of: {mains}",
            )
        name = chosen if chosen in mains else mains[0]
    state = worker.states.get(name)
    if state is None:
        raise ApiError("BadRequest", f"container {name} is not valid for pod {pod}")
    return state


def logs(worker: PodWorker, options: LogOptions) -> AsyncIterator[bytes]:
    """A container's log; errors that can be known are raised before the first byte."""
    state = find_container(worker, options.container)
    context = worker.pod_context()
    restarts = state.restarts
    if options.previous:
        if restarts == 0:
            raise ApiError(
                "BadRequest",
                f'previous terminated container "{state.name}" in pod '
                f'"{meta.name(worker.pod)}" not found',
            )
        restarts -= 1
    elif not state.id and state.last is None and state.termination is None:
        raise ApiError(
            "BadRequest",
            f'container "{state.name}" in pod "{meta.name(worker.pod)}" is waiting to start: '
            f"{state.message or state.reason}",
        )
    path = Path(context.log_directory) / state.name / f"{restarts}.log"
    run = state.id

    def alive() -> bool:
        return not options.previous and state.alive and state.id == run

    return logread.stream(path, options, alive, worker.context.clock)


async def execute(
    worker: PodWorker, container: str, command: Sequence[str], *, stdin: bool, tty: bool
) -> CommandSession:
    state = _running(worker, container)
    await worker.volumes.fill_later(worker)
    client = worker.context.runtime.processes
    spec = {"argv": list(command)}
    if tty:
        spec = {**spec, "env": {"TERM": "xterm"}}  # type: ignore[dict-item]
        running = await client.start_exec(state.id, spec, (), tty=True)
        entry = os.dup(running.terminal) if stdin else -1
        return CommandSession(running, entry, {running.terminal: 1})
    ours, theirs = _pipes(stdin)
    try:
        running = await client.start_exec(state.id, spec, theirs)
    except DataplaneError as error:
        for descriptor in ours:
            if descriptor >= 0:
                os.close(descriptor)
        raise ApiError("InternalError", str(error)) from error
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    return CommandSession(running, ours[0], {ours[1]: 1, ours[2]: 2})


def _pipes(stdin: bool) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(our ends, the command's ends) of its three streams."""
    entry = -1
    if stdin:
        source, entry = os.pipe()
    else:
        source = os.open(os.devnull, os.O_RDONLY)
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    return (entry, out, err), (source, out_writer, err_writer)


def _running(worker: PodWorker, container: str) -> ContainerState:
    state = find_container(worker, container)
    if not state.alive:
        name = meta.name(worker.pod)
        raise ApiError("BadRequest", f'container "{state.name}" of pod "{name}" is not running')
    return state


async def attach(worker: PodWorker, container: str) -> AttachSession:
    state = _running(worker, container)
    if state.runtime == STAND_IN:
        raise ApiError(
            "BadRequest",
            f'container "{state.name}" has no process of its own to attach to: image '
            f'"{state.spec.get("image")}" is stood in for',
        )
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    worker.watch_end(state.id, ended)  # before anything is waited for: it may end meanwhile
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    client = worker.context.runtime.processes
    try:
        once = bool(state.spec.get("stdinOnce"))
        entry = await client.attach(state.id, out_writer, err_writer, once=once)
    except DataplaneError as error:
        os.close(out)
        os.close(err)
        raise ApiError(
            "BadRequest", f'cannot attach to container "{state.name}": {error}'
        ) from error
    finally:
        os.close(out_writer)
        os.close(err_writer)
    return AttachSession(entry, {out: 1, err: 2}, ended)


async def connect(worker: PodWorker, port: int) -> SocketSession:
    """A connection to the pod's localhost, as port-forward makes it."""
    loop = asyncio.get_running_loop()
    refused: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        make = partial(socket.socket, family, socket.SOCK_STREAM)
        sock: socket.socket = await netns.await_in(worker.netns, make)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (address, port))
        except OSError as error:
            sock.close()
            refused = refused or error
            continue
        return SocketSession(sock)
    why = refused.strerror if refused else "failed"
    raise ApiError("InternalError", f"failed to connect to localhost:{port} in the pod: {why}")
