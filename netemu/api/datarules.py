"""Rules that ConfigMaps and Secrets share: their keys, their size, and `immutable`.

https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-immutable
"""

from __future__ import annotations

from netemu.api import names
from netemu.api.invalid import forbidden, invalid
from netemu.api.kind import Cause, Object

MAX_SIZE = 1024 * 1024
_SEALED = "field is immutable when `immutable` is set"


def check_keys(data: Object, path: str) -> list[Cause]:
    return [invalid(f"{path}[{key}]", key, why) for key in data for why in names.config_key(key)]


def check_sealed(obj: Object, old: Object | None, *fields: str) -> list[Cause]:
    """What an immutable object may not change: its data, and that it is immutable."""
    if old is None or not old.get("immutable"):
        return []
    causes = [] if obj.get("immutable") else [forbidden("immutable", _SEALED)]
    return causes + [
        forbidden(field, _SEALED)
        for field in fields
        if (obj.get(field) or {}) != (old.get(field) or {})
    ]
