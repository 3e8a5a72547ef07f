"""What one kind is: its names and path, its defaults, its validation, its columns.

A `Resource` says where objects live; a `Kind` adds what the API server needs to know. One kind is
one file in `api/kinds/`; routes, discovery, OpenAPI and tables follow from that declaration.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netemu.api.resource import Object as Object
from netemu.api.resource import Resource as Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why an object is invalid, as in `Status.details.causes`.

    `reason` is FieldValueInvalid, FieldValueRequired, FieldValueDuplicate, FieldValueNotSupported,
    FieldValueForbidden or FieldValueTooLong.
    """

    field: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column that kubectl prints. `cell` gets the object and the time in epoch seconds."""

    name: str
    cell: Callable[[Object, float], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    """0 always; 1 only with `-o wide`."""
    description: str = ""


def _nothing(obj: Object) -> None:
    """Defaults of a kind that has none."""


def _valid(obj: Object, old: Object | None) -> list[Cause]:
    """Validation of a kind whose shape says it all."""
    return []


def _no_fields(obj: Object) -> Mapping[str, str]:
    return {}


def _prepare_nothing(obj: Object, old: Object | None) -> None:
    """A kind that sets nothing by itself."""


def _no_conditions(obj: Object) -> list[dict[str, str]]:
    return []


ALL_VERBS = frozenset(
    ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
)
CREATE_ONLY = frozenset(("create",))
"""Verbs of reviews: asked and answered, never stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where a kind keeps what its `scale` subresource shows, as dotted paths."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"
    """A LabelSelector or a plain map; for a CRD, a string in its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Resource):
    """One declaration a kind; the whole API follows from it."""

    singular: str = ""
    """Where that is not the kind in small letters."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storage: str = ""
    """Its key prefix below /registry where that is not the plural: `services/specs`, `minions`."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Further (group, version) under which the same objects are served."""
    versions: tuple[Kind, ...] = field(default=(), compare=False, repr=False)
    """The kind as it is in each of `aliases`, where that differs by more than its apiVersion."""
    subresources: frozenset[str] = frozenset()
    """`status`, `scale`, and what the server serves by hand: `log`, `exec`, `binding` …"""
    columns: tuple[Column, ...] = ()
    row_conditions: Callable[[Object], list[dict[str, str]]] = _no_conditions
    """Conditions of its row in a table: that a pod or a job has completed."""
    default: Callable[[Object], None] = _nothing
    """Fills in defaults, in place, on an object that the caller owns."""
    validate: Callable[[Object, Object | None], list[Cause]] = _valid
    """All that is wrong with `obj`; `old` is what it replaces, or None on create."""
    fields: Callable[[Object], Mapping[str, str]] = _no_fields
    """Values of the field selectors beyond metadata.name and metadata.namespace."""
    schema: str = ""
    """Name of its definition in the OpenAPI document: `io.k8s.api.core.v1.Pod`."""
    open_api: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The OpenAPI schema itself, for a kind that a CustomResourceDefinition made."""
    name_rule: str = "dns1123-subdomain"
    """How its names are checked: dns1123-subdomain, dns1123-label, dns1035-label, path-segment."""
    unconditional_update: bool = True
    """Whether an update without resourceVersion is allowed."""
    verbs: frozenset[str] = ALL_VERBS
    prepare: Callable[[Object, Object | None], None] = _prepare_nothing
    """What the server itself sets, in place, after the defaults: `old` is None on create.

    Phases, a pod's QoS class, a Service's fields that its new type rules out …
    """
    validate_status: Callable[[Object, Object | None], list[Cause]] = _valid
    """All that is wrong with an update of the status subresource."""
    scale: ScalePaths | None = None
    has_generation: bool = False
    """Whether metadata.generation counts the changes of its spec."""
    keeps_status: bool = False
    """Whether a create keeps the status that it was given (Node, and kinds without subresource)."""
    status_fields: frozenset[str] = field(default_factory=lambda: frozenset({"status"}))
    """Top-level fields that only the status subresource may write, when there is one."""

    def __hash__(self) -> int:
        """By its path alone: kinds are keys on the way of every request."""
        return hash((self.group, self.version, self.plural))

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources
