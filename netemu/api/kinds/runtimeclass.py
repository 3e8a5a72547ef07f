"""RuntimeClass. Every handler runs the same way here.

https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from netemu.api import names
from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import IMMUTABLE


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    handler = obj.get("handler") or ""
    causes = [invalid("handler", handler, why) for why in names.dns1123_label(handler)]
    if old is not None and handler != old.get("handler"):
        causes.append(invalid("handler", handler, IMMUTABLE))
    return causes


RUNTIME_CLASSES = Kind(
    group="node.k8s.io",
    plural="runtimeclasses",
    kind="RuntimeClass",
    namespaced=False,
    schema="io.k8s.api.node.v1.RuntimeClass",
    unconditional_update=False,
    validate=_validate,
    columns=(NAME, Column("Handler", at("handler")), AGE),
)
