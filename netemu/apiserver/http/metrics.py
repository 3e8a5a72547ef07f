"""`metrics.k8s.io`, answered from what the nodes measure at this moment."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from netemu.api import meta, metrics
from netemu.api.kind import Kind, Object
from netemu.apiserver.http.call import Call
from netemu.apiserver.selection import select
from netemu.apiserver.watcher import Entry, Selection
from netemu.client.usage import Measured
from netemu.errors import not_found


async def read_metrics(call: Call, kind: Kind) -> web.StreamResponse:
    """One object, or all that the selectors choose; labels are those of the pod or node."""
    source = call.server.usage
    assert source is not None  # without one the kinds are not served
    info, renderer = call.info, call.renderer(kind)
    fields = f"metadata.name={info.name}" if info.name else call.query.get("fieldSelector", "")
    chosen = select(kind, info.namespace, call.query.get("labelSelector", ""), fields)
    found = list(_chosen(call, kind, chosen, await source.measure()))
    if not info.name:
        return call.answer(renderer.list([Entry(obj, 0, 0) for obj in found], {}))
    if not found:
        raise not_found(kind.plural, info.name, kind.group)
    return call.answer(renderer.one(found[0]))


def _chosen(call: Call, kind: Kind, chosen: Selection, measured: Measured) -> Iterator[Object]:
    """The metrics of every stored pod or node that the selection names and that has figures."""
    parent = call.server.registry.find("", "v1", kind.plural)
    assert parent is not None
    entries = call.ctx.cache.of(parent).entries(chosen.namespace)
    for owner in sorted((entry.object for entry in entries), key=meta.key):
        body = _body(kind, owner, measured)
        if body is None:
            continue
        made = {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "metadata": _metadata(call, owner),
            "timestamp": meta.timestamp(call.ctx.clock.now()),
            "window": f"{measured.window:.3f}s",
            **body,
        }
        if chosen.matches(made):
            yield made


def _metadata(call: Call, owner: Object) -> Object:
    kept = {
        key: owner["metadata"][key]
        for key in ("name", "namespace", "labels")
        if key in owner["metadata"]
    }
    return {**kept, "creationTimestamp": meta.timestamp(call.ctx.clock.now())}


def _body(kind: Kind, owner: Object, measured: Measured) -> Object | None:
    if kind.namespaced:
        pod = measured.pods.get((meta.namespace(owner), meta.name(owner)))
        if pod is None:
            return None
        used = sorted(pod.items())
        return {"containers": [{"name": name, "usage": metrics.usage(each)} for name, each in used]}
    node = measured.nodes.get(meta.name(owner))
    return None if node is None else {"usage": metrics.usage(node)}
