"""Subresources that are small requests of their own: binding, finalize, scale, eviction.

https://kubernetes.io/docs/reference/using-api/api-concepts/#api-verbs
"""

from __future__ import annotations

from typing import Any

from netemu.api import meta, selectors
from netemu.api.kind import Kind, Object, ScalePaths
from netemu.apiserver.pipeline.context import PLAIN, Context, Options
from netemu.apiserver.pipeline.patch import patched
from netemu.apiserver.pipeline.update import modify
from netemu.errors import ApiError


async def bind(
    ctx: Context, kind: Kind, namespace: str, name: str, binding: Object, options: Options = PLAIN
) -> Object:
    """Give a pod its node, once (`POST pods/{name}/binding`)."""
    target = (binding.get("target") or {}).get("name")
    if not target:
        raise ApiError("Invalid", "Binding is invalid: target.name: Required value")
    annotations = (binding.get("metadata") or {}).get("annotations") or {}

    def change(old: Object) -> Object:
        present = old["spec"].get("nodeName")
        if meta.is_deleting(old):
            raise _bind_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
        if present:
            message = f"pod {name} is already assigned to node"
            raise _bind_conflict(name, f'{message} "{present}"')
        # As little as possible is copied: every pod comes this way. What is shared never changes.
        new = {
            **old,
            "metadata": {k: v for k, v in old["metadata"].items() if k != "resourceVersion"},
            "spec": {**old["spec"], "nodeName": target},
            "status": {**(old.get("status") or {})},
        }
        if annotations:
            new["metadata"]["annotations"] = {**meta.annotations(old), **annotations}
        set_condition(new, "PodScheduled", "True", meta.timestamp(ctx.clock.now()))
        return new

    await modify(ctx, kind, namespace, name, change, options, subresource="binding")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }


def _bind_conflict(name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
    return ApiError("Conflict", message, details={"name": name, "kind": "pods/binding"})


def set_condition(obj: Object, type_: str, status: str, now: str) -> None:
    """Put a status condition into `obj`, which is the caller's own."""
    conditions = [
        condition
        for condition in (obj.setdefault("status", {}).get("conditions") or ())
        if condition.get("type") != type_
    ]
    conditions.append(
        {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
    )
    obj["status"]["conditions"] = conditions


async def finalize(
    ctx: Context, kind: Kind, name: str, obj: Object, options: Options = PLAIN
) -> Object:
    """Set a namespace's spec.finalizers; without any, a deleted namespace goes."""
    finalizers = (obj.get("spec") or {}).get("finalizers") or []
    revision = (obj.get("metadata") or {}).get("resourceVersion")

    def change(old: Object) -> Object:
        new = meta.copy(old)
        del new["metadata"]["resourceVersion"]
        if revision:
            new["metadata"]["resourceVersion"] = revision
        new["spec"] = {**(old.get("spec") or {}), "finalizers": finalizers}
        if meta.is_deleting(new):
            new["metadata"]["deletionGracePeriodSeconds"] = 0
        return new

    return await modify(ctx, kind, "", name, change, options, subresource="finalize")


def scale_of(kind: Kind, obj: Object) -> Object:
    """The autoscaling/v1 Scale of an object."""
    paths = kind.scale or ScalePaths()
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": _at(obj, paths.spec_replicas) or 0},
        "status": {
            "replicas": _at(obj, paths.status_replicas) or 0,
            "selector": _selector_text(_at(obj, paths.selector)),
        },
    }


def _selector_text(selector: Any) -> str:
    if isinstance(selector, str) or not selector:
        return selector or ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selectors.from_label_selector(selector))
    return str(selectors.from_map(selector))


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


async def update_scale(
    ctx: Context,
    kind: Kind,
    namespace: str,
    name: str,
    body: Any,
    options: Options = PLAIN,
    *,
    content_type: str = "",
) -> Object:
    """Set the replicas: by a whole Scale, or by a patch of one when there is a `content_type`."""
    paths = kind.scale or ScalePaths()

    def change(old: Object) -> Object:
        scale = scale_of(kind, old)
        wanted = patched(kind, scale, body, content_type) if content_type else body
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            message = f'Scale.autoscaling "{name}" is invalid: spec.replicas: Invalid value: '
            raise ApiError("Invalid", f"{message}{replicas}: must be greater than or equal to 0")
        new = meta.copy(old)
        revision = (wanted.get("metadata") or {}).get("resourceVersion")
        if revision and revision != old["metadata"]["resourceVersion"]:
            new["metadata"]["resourceVersion"] = revision
        else:
            del new["metadata"]["resourceVersion"]
        *parents, leaf = paths.spec_replicas.strip(".").split(".")
        where = new
        for part in parents:
            where = where.setdefault(part, {})
        where[leaf] = replicas
        return new

    return scale_of(kind, await modify(ctx, kind, namespace, name, change, options))
