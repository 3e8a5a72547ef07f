"""The kubelet's own HTTP pages, as `nodes/NAME/proxy` shows them: what is true here, and no more.

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/server/server.go
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from netemu.api import meta
from netemu.api.kind import Object
from netemu.client.kubelet import Page
from netemu.errors import NetemuError
from netemu.node import netns
from netemu.node.kubelet.context import NodeContext
from netemu.node.kubelet.podusage import PodUsage
from netemu.node.kubelet.states import RUNNING
from netemu.node.kubelet.summary import (
    ContainerSample,
    Interface,
    PodSample,
    compile_summary,
    parse_interfaces,
    render_metric,
    render_network,
    render_resources,
)
from netemu.node.kubelet.worker import PodWorker

_JSON, _HTML = "application/json", "text/html; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PIECE = 1 << 16
_HEALTHY = ("/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop")
NOT_FOUND = Page(status=404, body=b"404 page not found\n")


class Pages:
    """`workers`: the pods of the node, as they are when a page is asked for."""

    def __init__(
        self, context: NodeContext, usage: PodUsage, workers: Callable[[], Collection[PodWorker]]
    ) -> None:
        self._context, self._usage, self._workers = context, usage, workers
        self._found: Mapping[str, Callable[[], Awaitable[Page]]] = {
            "/pods": self._pods,
            "/runningpods": self._running_pods,
            "/configz": self._configuration,
            "/stats/summary": self._summary,
            "/metrics": self._metrics,
            "/metrics/resource": self._resources,
            "/metrics/cadvisor": self._network,
        }

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        """The answer to `GET path`."""
        if path in _HEALTHY:
            return Page(body=_health(path, verbose="verbose" in query))
        if path == "/logs" or path.startswith("/logs/"):
            return log_page(Path(self._context.directory), path.removeprefix("/logs"))
        found = self._found.get(path.rstrip("/"))
        return await found() if found is not None else NOT_FOUND

    async def _pods(self) -> Page:
        return _list([worker.pod for worker in self._workers()])

    async def _running_pods(self) -> Page:
        found = []
        for worker in self._workers():
            running = [state for state in worker.states.values() if state.alive]
            if running:
                kept = ("name", "namespace", "uid", "creationTimestamp")
                metadata = {key: worker.pod["metadata"].get(key) for key in kept}
                containers = [
                    {"name": state.name, "image": state.spec.get("image")} for state in running
                ]
                found.append({"metadata": metadata, "spec": {"containers": containers}})
        return _list(found)

    async def _configuration(self) -> Page:
        config, context = self._context.config, self._context
        found = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "clusterDomain": config.cluster_domain,
            "clusterDNS": list(context.cluster_dns),
            "maxPods": config.pods_per_node,
            "nodeLeaseDurationSeconds": int(config.timing.node_lease_duration),
        }
        return _json({"kubeletconfig": found})

    async def _summary(self) -> Page:
        context = self._context
        own = await _interfaces(context.netns)
        samples = await self._samples()
        return _json(compile_summary(context.node, own, samples, context.clock.now()))

    async def _metrics(self) -> Page:
        workers = self._workers()
        states = [state for worker in workers for state in worker.states.values()]
        running = sum(state.phase == RUNNING for state in states)
        pods = sum(any(state.alive for state in worker.states.values()) for worker in workers)
        rows: tuple[tuple[str, str, dict[str, str], int], ...] = (
            ("kubelet_node_name", "The node's name", {"node": self._context.node}, 1),
            ("kubelet_running_pods", "Number of pods that have a running container", {}, pods),
            (
                "kubelet_running_containers",
                "Number of containers currently running",
                {"container_state": "running"},
                running,
            ),
        )
        text = "".join(
            render_metric(name, "gauge", what, [(labels, value)])
            for name, what, labels, value in rows
        )
        return Page(content_type=_METRICS, body=text.encode())

    async def _resources(self) -> Page:
        return Page(content_type=_METRICS, body=render_resources(await self._samples()).encode())

    async def _network(self) -> Page:
        return Page(content_type=_METRICS, body=render_network(await self._samples()).encode())

    async def _samples(self) -> list[PodSample]:
        workers = list(self._workers())
        rates = await self._usage.measure(workers)
        totals = await self._usage.totals()
        found = []
        for worker in workers:
            rate = rates.get((meta.namespace(worker.pod), meta.name(worker.pod)), {})
            containers = [
                ContainerSample(
                    name=state.name,
                    started_at=state.started_at,
                    cpu=totals[state.id][0],
                    rate=rate.get(state.name, {}).get("cpu", 0),
                    memory=totals[state.id][1],
                )
                for state in worker.states.values()
                if state.alive and state.id in totals
            ]
            own = await _interfaces(worker.netns) if worker.sandbox is not None else []
            found.append(PodSample(pod=worker.pod, containers=containers, interfaces=own))
        return found


async def _interfaces(path: str) -> list[Interface]:
    """The counters of a network namespace; none when it is just going."""
    try:
        return parse_interfaces(
            await netns.await_in(path, Path("/proc/thread-self/net/dev").read_text)
        )
    except (OSError, NetemuError):
        return []


def _health(path: str, *, verbose: bool) -> bytes:
    if not verbose:
        return b"ok"
    checks = "".join(f"[+]{name} ok\n" for name in ("ping", "log", "syncloop"))
    return f"{checks}{path.strip('/')} check passed\n".encode()


def _json(document: Object) -> Page:
    return Page(content_type=_JSON, body=msgspec.json.encode(document))


def _list(pods: list[Object]) -> Page:
    return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})


def log_page(directory: Path, path: str) -> Page:
    """A file, or the list of a directory, of the node's logs: `pods/` below `directory`."""
    if path in ("", "/"):
        return _listing(["pods/"])
    root = (directory / "pods").resolve()
    if "\0" in path:
        return NOT_FOUND
    wanted = (directory / path.lstrip("/")).resolve()
    if not wanted.is_relative_to(root):
        return NOT_FOUND
    if wanted.is_dir():
        return _listing(
            sorted(f"{one.name}/" if one.is_dir() else one.name for one in wanted.iterdir())
        )
    if not wanted.is_file():
        return NOT_FOUND
    return Page(parts=_pieces(wanted))


def _listing(names: list[str]) -> Page:
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return Page(content_type=_HTML, body=f"<pre>\n{links}</pre>\n".encode())


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_PIECE):
            yield part
