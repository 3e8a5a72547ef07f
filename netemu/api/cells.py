"""Cells that several kinds' tables share, as Kubernetes' printers make them.

https://github.com/kubernetes/kubernetes/blob/master/pkg/printers/internalversion/printers.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netemu.api import meta, selectors
from netemu.api.duration import since
from netemu.api.kind import Column, Object
from netemu.errors import ApiError

NONE = "<none>"
_NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically."
)
_AGE = "CreationTimestamp is a timestamp representing the server time when this object was created."


def age(obj: Object, now: float) -> str:
    return since(meta.metadata(obj).get("creationTimestamp"), now)


NAME = Column("Name", lambda obj, now: meta.name(obj), format="name", description=_NAME)
AGE = Column("Age", age, description=_AGE)


CREATED = Column(
    "Created At",
    lambda obj, now: meta.metadata(obj).get("creationTimestamp"),
    type="date",
    description=_AGE,
)
"""What kinds without a printer of their own have instead of an age."""


class Field:
    """A cell that is a field of the object, or `default` where it is absent."""

    __slots__ = ("default", "path")

    def __init__(self, path: tuple[str, ...], default: Any) -> None:
        self.path, self.default = path, default

    def __call__(self, obj: Object, now: float) -> Any:
        value: Any = obj
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
            if value is None:
                return self.default
        return value


def at(*path: str, default: Any = "") -> Field:
    """The cell for the field at `path`."""
    return Field(path, default)


def integer(name: str, *path: str, description: str = "") -> Column:
    return Column(name, at(*path, default=0), type="integer", description=description)


def string(name: str, *path: str, default: str = "", priority: int = 0) -> Column:
    return Column(name, at(*path, default=default), priority=priority)


def labels(found: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items())) or NONE


def selector(found: Mapping[str, Any] | None) -> str:
    """A LabelSelector as `kubectl get -o wide` shows it."""
    try:
        return str(selectors.from_label_selector(found)) or NONE
    except ApiError:
        return "<error>"


def _containers(obj: Object) -> list[Any]:
    template = (obj.get("spec") or {}).get("template") or {}
    found: list[Any] = (template.get("spec") or {}).get("containers") or []
    return found


CONTAINERS = Column(
    "Containers",
    lambda obj, now: ",".join(item.get("name", "") for item in _containers(obj)),
    priority=1,
    description="Names of each container in the template.",
)
IMAGES = Column(
    "Images",
    lambda obj, now: ",".join(item.get("image", "") for item in _containers(obj)),
    priority=1,
    description="Images referenced by each container in the template.",
)
SELECTOR = Column(
    "Selector", lambda obj, now: selector((obj.get("spec") or {}).get("selector")), priority=1
)


def load_balancer(obj: Object) -> str:
    """The addresses of status.loadBalancer, sorted and joined."""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = {item.get("ip") or item.get("hostname") for item in ingress}
    return ",".join(sorted(filter(None, found)))


def with_more(shown: Iterable[str], limit: int, empty: str = "<unset>") -> str:
    """The first `limit` words, and how many more there are."""
    words = list(shown)
    text = ",".join(words[:limit])
    if len(words) > limit:
        return f"{text} + {len(words) - limit} more..."
    return text or empty
