"""Which kinds are served, and where: by path for the API, by storage key for the cache."""

from __future__ import annotations

from collections.abc import Iterable

from netemu.api.kind import Kind, Object, Resource
from netemu.errors import ApiError

UNKNOWN_PATH = "the server could not find the requested resource"


class Registry:
    """Kinds by (group, version, plural); a CustomResourceDefinition adds and removes them."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self._by_prefix: dict[str, Kind] = {}
        self.generation = 0
        """Counts changes, so that documents made from the kinds can be cached."""
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        for group, version in ((kind.group, kind.version), *kind.aliases):
            self._by_path[group, version, kind.plural] = kind
            self._by_kind[f"{group}/{version}" if group else version, kind.kind] = kind
        self._by_prefix.setdefault(prefix_of(kind), kind)
        self.generation += 1

    def remove(self, kind: Kind) -> None:
        self._by_path = {key: found for key, found in self._by_path.items() if found is not kind}
        self._by_kind = {key: found for key, found in self._by_kind.items() if found is not kind}
        self._by_prefix = {
            key: found for key, found in self._by_prefix.items() if found is not kind
        }
        self.generation += 1

    def kinds(self) -> list[Kind]:
        """Every kind once, in the order of their addition."""
        return list(dict.fromkeys(self._by_path.values()))

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def of(self, resource: Resource) -> Kind:
        """The kind that a client's `resource` means; ApiError NotFound when it is not served."""
        found = self._by_path.get((resource.group, resource.version, resource.plural))
        if found is None:
            raise ApiError("NotFound", UNKNOWN_PATH)
        return found

    def of_object(self, obj: Object) -> Kind | None:
        return self._by_kind.get((str(obj.get("apiVersion")), str(obj.get("kind"))))

    def of_key(self, key: str) -> Kind | None:
        """The kind that is stored at `key`."""
        parent = key.rpartition("/")[0]
        return self._by_prefix.get(parent + "/") or self._by_prefix.get(
            parent.rpartition("/")[0] + "/"
        )


def prefix_of(kind: Kind) -> str:
    """Where the objects of a kind are stored, as Kubernetes lays out its etcd."""
    return f"/registry/{kind.storage or kind.plural}/"


def key_of(kind: Kind, namespace: str, name: str) -> str:
    where = prefix_of(kind)
    return f"{where}{namespace}/{name}" if kind.namespaced else f"{where}{name}"
