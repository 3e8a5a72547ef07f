"""Definitions of custom resources: held until their objects are gone; clashes are refused.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterator

from netemu.api.crd import rules
from netemu.api.invalid import error as invalid_error
from netemu.api.invalid import invalid
from netemu.api.kind import Object
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.strategies.strategy import Strategy

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class CustomResourceDefinitionStrategy(Strategy):
    def warnings(self, obj: Object) -> list[str]:
        found = [f"{where}: {why}" for where, why, wrong in _examined(obj) if not wrong]
        if obj["spec"]["conversion"]["strategy"] == "Webhook":
            same = "all versions have the content of the stored one"
            found.append(f"spec.conversion: webhooks are not called, {same}")
        return found

    def admit_update(self, ctx: Context, obj: Object, old: Object) -> None:
        if obj["spec"] != old["spec"]:
            _require_good_rules(obj)

    def admit_create(self, ctx: Context, obj: Object) -> None:
        _require_good_rules(obj)
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


def _examined(definition: Object) -> Iterator[tuple[str, str, bool]]:
    """(path, why, wrong) of each CEL rule that cannot be judged."""
    for index, version in enumerate((definition.get("spec") or {}).get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if isinstance(schema, dict) and rules.has_rules(schema):
            yield from rules.examine(schema, f"spec.versions[{index}].schema.openAPIV3Schema")


def _require_good_rules(definition: Object) -> None:
    causes = [invalid(where, "", why) for where, why, wrong in _examined(definition) if wrong]
    if causes:
        name = str(definition["metadata"].get("name"))
        raise invalid_error("CustomResourceDefinition", "apiextensions.k8s.io", name, causes)
