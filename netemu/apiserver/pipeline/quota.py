"""ResourceQuotas: what a new object takes is booked at once, so that two creates cannot share it.

The controller counts anew what is really there; this keeps the books in between.
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from fractions import Fraction

from netemu.api import meta, quantity, quotarules
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.pipeline.update import modify
from netemu.errors import ApiError


async def charge(ctx: Context, kind: Kind, obj: Object, *, dry_run: bool) -> None:
    """Book `obj` on the quotas of its namespace; ApiError Forbidden when one is exhausted."""
    quotas = ctx.registry.find("", "v1", "resourcequotas")
    if quotas is None or not kind.namespaced or kind is quotas:
        return
    namespace = meta.namespace(obj)
    for entry in tuple(ctx.cache.of(quotas).entries(namespace)):
        if not quotarules.in_scope(entry.object, kind, obj):
            continue
        hard = (entry.object.get("spec") or {}).get("hard") or {}
        if not (quotarules.usage_of(kind, obj).keys() & hard.keys()) or dry_run:
            _check(entry.object, kind, obj)
        else:
            await _book(ctx, quotas, entry.object, kind, obj)


def _check(quota: Object, kind: Kind, obj: Object) -> None:
    why = quotarules.refusal([quota], kind, obj)
    if why:
        name = meta.name(obj)
        details: Object = {"name": name, "kind": kind.plural}
        full = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        raise ApiError("Forbidden", f'{full} "{name}" is forbidden: {why}', details=details)


async def _book(ctx: Context, quotas: Kind, quota: Object, kind: Kind, obj: Object) -> None:
    def change(old: Object) -> Object:
        _check(old, kind, obj)
        new = meta.copy(old)
        del new["metadata"]["resourceVersion"]
        hard = (old.get("spec") or {}).get("hard") or {}
        status = new.setdefault("status", {})
        used = {name: quantity.parse(text) for name, text in (status.get("used") or {}).items()}
        for name, amount in quotarules.usage_of(kind, obj).items():
            if name in hard:
                used[name] = used.get(name, Fraction(0)) + amount
        status["hard"] = hard
        status["used"] = quotarules.render(used, hard)
        return new

    await modify(ctx, quotas, meta.namespace(quota), meta.name(quota), change, subresource="status")
