"""PodTemplate: a pod's recipe on its own; nothing is made of it by itself.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/
"""

from __future__ import annotations

from typing import Any

from netemu.api import cells
from netemu.api.cells import NAME
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_template


def _containers(obj: Object, key: str) -> str:
    spec: dict[str, Any] = (obj.get("template") or {}).get("spec") or {}
    return ",".join(container.get(key, "") for container in spec.get("containers") or ())


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    return check_template(obj.get("template") or {}, "template")


def _labels(obj: Object, now: float) -> str:
    return cells.labels(((obj.get("template") or {}).get("metadata") or {}).get("labels"))


POD_TEMPLATES = Kind(
    plural="podtemplates",
    kind="PodTemplate",
    schema="io.k8s.api.core.v1.PodTemplate",
    has_generation=True,
    default=lambda obj: default_template(obj.setdefault("template", {})),
    validate=_validate,
    columns=(
        NAME,
        Column("Containers", lambda obj, now: _containers(obj, "name")),
        Column("Images", lambda obj, now: _containers(obj, "image")),
        Column("Pod Labels", _labels),
    ),
)
