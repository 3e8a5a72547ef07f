"""ConfigMap: data that pods read as files or variables; `immutable` ones never change again.

https://kubernetes.io/docs/concepts/configuration/configmap/
"""

from __future__ import annotations

from netemu.api.cells import AGE, NAME
from netemu.api.datarules import MAX_SIZE, check_keys, check_sealed
from netemu.api.invalid import invalid, too_long
from netemu.api.kind import Cause, Column, Kind, Object


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    causes = check_keys(data, "data")
    causes += [
        invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        for key in data
        if key in binary
    ]
    causes += check_keys(binary, "binaryData")
    size = sum(len(value.encode()) for value in data.values())
    size += sum(len(value) * 3 // 4 for value in binary.values())
    if size > MAX_SIZE:
        causes.append(too_long("", MAX_SIZE))
    return causes + check_sealed(obj, old, "data", "binaryData")


def _count(obj: Object, now: float) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


CONFIG_MAPS = Kind(
    plural="configmaps",
    kind="ConfigMap",
    short_names=("cm",),
    schema="io.k8s.api.core.v1.ConfigMap",
    validate=_validate,
    columns=(NAME, Column("Data", _count), AGE),
)
