"""Secret: bytes that pods read as files or variables, of a type that says which keys it has.

https://kubernetes.io/docs/concepts/configuration/secret/
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from netemu.api import meta
from netemu.api.cells import AGE, NAME, at
from netemu.api.datarules import MAX_SIZE, check_keys, check_sealed
from netemu.api.invalid import invalid, required, too_long
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import IMMUTABLE

_ACCOUNT = "kubernetes.io/service-account.name"
_DOCKER = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}
_NEEDED = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _default(obj: Object) -> None:
    """`stringData` is for writing only: it becomes `data`."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        data = obj["data"] = dict(obj.get("data") or {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    data = obj.get("data") or {}
    causes = check_keys(data, "data")
    if sum(len(value) * 3 // 4 for value in data.values()) > MAX_SIZE:
        causes.append(too_long("data", MAX_SIZE))
    if old is not None and obj.get("type") != old.get("type"):
        causes.append(invalid("type", obj.get("type"), IMMUTABLE))
    return causes + check_sealed(obj, old, "data") + _check_type(obj, data)


def _check_type(obj: Object, data: dict[str, Any]) -> list[Cause]:
    kind = obj.get("type") or ""
    if kind == "kubernetes.io/service-account-token":
        named = meta.annotations(obj).get(_ACCOUNT)
        return [] if named else [required(f"metadata.annotations[{_ACCOUNT}]")]
    if kind in _DOCKER:
        return _check_docker(data, _DOCKER[kind])
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        return [required("data[username]"), required("data[password]")]
    return [required(f"data[{key}]") for key in _NEEDED.get(kind, ()) if key not in data]


def _check_docker(data: dict[str, Any], key: str) -> list[Cause]:
    if key not in data:
        return [required(f"data[{key}]")]
    try:
        json.loads(base64.b64decode(data[key], validate=True))
    except (ValueError, binascii.Error) as problem:
        return [invalid(f"data[{key}]", "<secret contents redacted>", str(problem))]
    return []


def _count(obj: Object, now: float) -> int:
    return len(obj.get("data") or {})


SECRETS = Kind(
    plural="secrets",
    kind="Secret",
    schema="io.k8s.api.core.v1.Secret",
    default=_default,
    validate=_validate,
    fields=lambda obj: {"type": obj.get("type") or ""},
    columns=(
        NAME,
        Column("Type", at("type")),
        Column("Data", _count, type="integer"),
        AGE,
    ),
)
