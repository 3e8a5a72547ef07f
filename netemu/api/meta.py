"""Object metadata: keys, owners, copies, times.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from netemu.api.kind import Object, Resource

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def copy(obj: Object) -> Object:
    """A deep copy that may be changed. Through JSON bytes: 6 µs where deepcopy takes 42."""
    copied: Object = _decode(_encode(obj))
    return copied


def copy_value(value: Any) -> Any:
    """A deep copy of any JSON value."""
    return _decode(_encode(value))


def metadata(obj: Object) -> dict[str, Any]:
    """For what is asked seldom: those below are asked for each pod by everybody, and look alone."""
    found: dict[str, Any] = obj.get("metadata") or {}
    return found


def name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def namespace(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("namespace", ""))


def uid(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("uid", ""))


def labels(obj: Object) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations(obj: Object) -> Mapping[str, str]:
    return metadata(obj).get("annotations") or {}


def key(obj: Object) -> str:
    """`namespace/name`, or `name` where there is no namespace (client-go's key)."""
    return join_key(namespace(obj), name(obj))


def join_key(space: str, named: str) -> str:
    return f"{space}/{named}" if space else named


def split_key(joined: str) -> tuple[str, str]:
    """(namespace, name)."""
    space, _, named = joined.rpartition("/")
    return space, named


def revision(obj: Object) -> int:
    """metadata.resourceVersion as a number; 0 when it has none."""
    return int(metadata(obj).get("resourceVersion") or 0)


def is_deleting(obj: Object) -> bool:
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The owner reference marked as controller, if there is one."""
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("controller"):
            found: dict[str, Any] = reference
            return found
    return None


def owner_reference(owner: Object, resource: Resource) -> dict[str, Any]:
    """A controlling reference to `owner`, as controllers put on their children."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


_LAST = 253_402_300_799


def timestamp(seconds: float) -> str:
    """metav1.Time: RFC 3339, UTC, whole seconds; the year 9999 at most."""
    return _timestamp(int(min(seconds, _LAST) // 1))


@lru_cache(maxsize=64)
def _timestamp(second: int) -> str:
    """A thousand objects that are made within one second share its text."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(seconds: float) -> str:
    """metav1.MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_of(stamp: str) -> float:
    """The time of a metav1.Time or MicroTime, seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()
