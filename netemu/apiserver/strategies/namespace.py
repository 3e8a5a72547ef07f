"""Namespaces: the finalizer `kubernetes` in their spec holds them until their content is gone.

https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

from netemu.api.kind import Object
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.strategies.strategy import Strategy


class NamespaceStrategy(Strategy):
    returns_deleted = True

    def begin_deletion(self, ctx: Context, obj: Object) -> None:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def holds(self, obj: Object) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))
