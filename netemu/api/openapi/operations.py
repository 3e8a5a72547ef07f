"""Which operations each path has, before either version words them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netemu.api.kind import Kind

PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_WRITES = ("post", "put", "patch")
_LIST_QUERY = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
_DELETE_QUERY = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    action: str
    """x-kubernetes-action: get, list, post, put, patch, delete, deletecollection, connect."""
    kind: Kind
    subresource: str = ""

    @property
    def namespaced(self) -> bool:
        return "{namespace}" in self.path

    @property
    def named(self) -> bool:
        return "{name}" in self.path

    @property
    def patch_types(self) -> tuple[str, ...]:
        """Custom resources know no strategic merge patch."""
        if self.kind.open_api is None:
            return PATCH_TYPES
        return tuple(kind for kind in PATCH_TYPES if "strategic" not in kind)

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """(name, type) of the query parameters."""
        if self.action in ("list", "deletecollection"):
            return _LIST_QUERY + (_DELETE_QUERY if self.action != "list" else ())
        if self.action == "delete":
            return _DELETE_QUERY
        if self.method in _WRITES and self.action != "connect":
            asked = (
                ("dryRun", "string"),
                ("fieldManager", "string"),
                ("fieldValidation", "string"),
            )
            return asked + ((("force", "boolean"),) if self.method == "patch" else ())
        return ()

    @property
    def identity(self) -> str:
        """operationId: `createAppsV1NamespacedDeployment`."""
        words = {
            "post": "create",
            "put": "replace",
            "get": "read",
            "deletecollection": "deleteCollection",
        }
        group = "".join(part.capitalize() for part in self.kind.group.split(".")[:1]) or "Core"
        scope = "Namespaced" if self.namespaced else ""
        tail = self.subresource.capitalize()
        everywhere = "ForAllNamespaces" if self.kind.namespaced and not self.namespaced else ""
        return (
            f"{words.get(self.action, self.action)}{group}{self.kind.version.capitalize()}"
            f"{scope}{self.kind.kind}{tail}{everywhere}"
        )


def of_kind(kind: Kind) -> Iterator[Operation]:
    """All operations on a kind, in the version that it names."""
    everywhere = kind.path()
    base = kind.path("{namespace}")
    yield from _collection(kind, base)
    if kind.namespaced and "list" in kind.verbs:
        yield Operation(path=everywhere, method="get", action="list", kind=kind)
    one = f"{base}/{{name}}"
    for verb, method in (
        ("get", "get"),
        ("update", "put"),
        ("patch", "patch"),
        ("delete", "delete"),
    ):
        if verb in kind.verbs:
            yield Operation(path=one, method=method, action=method, kind=kind)
    for subresource in sorted(kind.subresources & {"status", "scale"}):
        for method in ("get", "put", "patch"):
            yield Operation(
                path=f"{one}/{subresource}",
                method=method,
                action=method,
                kind=kind,
                subresource=subresource,
            )


def _collection(kind: Kind, base: str) -> Iterator[Operation]:
    if "list" in kind.verbs:
        yield Operation(path=base, method="get", action="list", kind=kind)
    if "create" in kind.verbs:
        yield Operation(path=base, method="post", action="post", kind=kind)
    if "deletecollection" in kind.verbs:
        yield Operation(path=base, method="delete", action="deletecollection", kind=kind)
