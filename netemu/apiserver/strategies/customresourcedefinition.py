"""Definitions of custom resources: held until their objects are gone; clashes are refused."""

from __future__ import annotations

from netemu.api.invalid import error as invalid_error
from netemu.api.invalid import invalid
from netemu.api.kind import Object
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.strategies.strategy import Strategy

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class CustomResourceDefinitionStrategy(Strategy):
    def admit_create(self, ctx: Context, obj: Object) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        if CLEANUP not in finalizers:
            obj["metadata"]["finalizers"] = [*finalizers, CLEANUP]
        spec = obj.get("spec") or {}
        plural, group = (spec.get("names") or {}).get("plural"), spec.get("group")
        for version in spec.get("versions") or ():
            if ctx.registry.find(str(group), str(version.get("name")), str(plural)) is not None:
                cause = invalid("spec.names.plural", plural, "is already served in this group")
                name = str(obj["metadata"].get("name"))
                raise invalid_error(
                    "CustomResourceDefinition", "apiextensions.k8s.io", name, [cause]
                )
