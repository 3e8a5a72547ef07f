"""etcd's JSON: keys and values in base64, numbers as text; and where a cluster's keys are.

https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/
"""

from __future__ import annotations

import base64
from typing import Any

from netemu.store.protocol import Event, Row
from netemu.store.schema import above

ROOT = "/registry"
"""Where the API server believes that all its keys are; also etcd's default prefix."""

EVERYTHING = {"key": "AA==", "range_end": "AA=="}
"""The range from the zero byte on: all keys."""


class Keys:
    """Our keys below `/registry` as etcd's below `prefix`, kube-apiserver's --etcd-prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = "" if prefix == ROOT else prefix

    def encode(self, key: str) -> str:
        if self._prefix:
            key = self._prefix + key.removeprefix(ROOT)
        return base64.b64encode(key.encode()).decode()

    def decode(self, text: str) -> str:
        """Our key, empty when it is somebody else's."""
        key = base64.b64decode(text).decode(errors="replace")
        if not self._prefix:
            return key
        return ROOT + key[len(self._prefix) :] if key.startswith(self._prefix + "/") else ""

    def span(self, prefix: str, start: str = "") -> dict[str, str]:
        """The range of all keys below `prefix`, from `start` on."""
        return {"key": self.encode(start or prefix), "range_end": self.encode(above(prefix))}

    def row(self, kv: Any) -> Row:
        value = base64.b64decode(kv.get("value", ""))
        created, changed = int(kv["create_revision"]), int(kv["mod_revision"])
        return Row(self.decode(kv["key"]), value, created, changed)

    def event(self, found: Any) -> Event:
        """One change; its key is empty when it is somebody else's."""
        kv, before = found["kv"], found.get("prev_kv")
        key, revision = self.decode(kv["key"]), int(kv["mod_revision"])
        if not key:
            return Event(revision, "", None, None, 0, None)
        deleted = found.get("type") == "DELETE"
        value = None if deleted else base64.b64decode(kv.get("value", ""))
        previous = base64.b64decode(before.get("value", "")) if before else None
        created = int((before if deleted and before else kv).get("create_revision", 0))
        return Event(revision, key, value, previous, created, None)


def transaction(key: str, expect: int | None, value: bytes | None, lease: int = 0) -> Any:
    """Put `value` at the encoded `key` (None: delete) when its mod_revision is `expect`."""
    compare: dict[str, Any] | None = None
    if expect is not None:
        compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": expect}
    elif value is None:  # a delete of nothing must not succeed
        compare = {"key": key, "target": "CREATE", "result": "GREATER", "create_revision": 0}
    if value is None:
        change: Any = {"request_delete_range": {"key": key}}
    else:
        put = {"key": key, "value": base64.b64encode(value).decode(), "lease": lease}
        change = {"request_put": put}
    return {
        "compare": [compare] if compare else [],
        "success": [change],
        "failure": [{"request_range": {"key": key, "keys_only": True}}],
    }
