"""Which children belong to an owner: kept, adopted, released.

A controller owns what its selector matches and carries its controller reference. Matching orphans
are adopted, owned children that no longer match are let go, and what another owner controls is
never touched.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_ref_manager.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.kind import Object, Resource
from netemu.api.meta import (
    controller_of,
    is_deleting,
    key,
    labels,
    name,
    namespace,
    owner_reference,
    uid,
)
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.controllers.context import BY_OWNER
from netemu.controllers.writes import OwnWrites
from netemu.errors import ApiError

Matches = Callable[[Object], bool]


@dataclass(frozen=True, slots=True)
class Claim:
    """What to do with an owner's candidates."""

    kept: tuple[Object, ...]
    adopt: tuple[Object, ...]
    release: tuple[Object, ...]


def plan_claim(
    owner: Object, candidates: Iterable[Object], matches: Matches, adoptable: Matches | None = None
) -> Claim:
    """Sort `candidates` (owned by it, or by nobody) into kept, to adopt and to release."""
    kept, adopt, release = [], [], []
    leaving, own = is_deleting(owner), uid(owner)
    for child in candidates:
        reference = controller_of(child)
        if reference is not None:
            if reference.get("uid") != own:
                continue
            if matches(child):
                kept.append(child)
            elif not leaving and not is_deleting(child):
                release.append(child)
        elif leaving or is_deleting(child) or not matches(child):
            continue
        elif adoptable is None or adoptable(child):
            adopt.append(child)
    return Claim(tuple(kept), tuple(adopt), tuple(release))


def patch_adopt(child: Object, owner: Object, owner_kind: Resource) -> Object:
    """A merge patch that makes `owner` the controller of `child`."""
    others = list(child["metadata"].get("ownerReferences") or ())
    return _owners(child, [*others, owner_reference(owner, owner_kind)])


def patch_release(child: Object, owner: Object) -> Object:
    """A merge patch that takes `owner`'s reference away from `child`."""
    others = child["metadata"].get("ownerReferences") or ()
    return _owners(child, [other for other in others if other.get("uid") != uid(owner)])


def _owners(child: Object, references: Sequence[Any]) -> Object:
    # The version guards the list, which a merge patch replaces whole.
    guard = {"uid": uid(child), "resourceVersion": child["metadata"]["resourceVersion"]}
    return {"metadata": guard | {"ownerReferences": list(references) or None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimer:
    """Claims children of one kind for owners of another."""

    client: ApiClient
    writes: OwnWrites
    owner_kind: Resource
    child_kind: Resource
    children: Informer

    async def claim(
        self, owner: Object, matches: Matches, adoptable: Matches | None = None
    ) -> list[Object]:
        """The children of `owner` as they are now, after adoption and release."""
        owned = self.children.by_index(BY_OWNER, uid(owner))
        orphans = self.children.by_index(BY_OWNER, f"orphans/{namespace(owner)}")
        claim = plan_claim(owner, [*owned, *orphans], matches, adoptable)
        found = list(claim.kept)
        if claim.adopt and await self._still_there(owner):
            for child in claim.adopt:
                patch = patch_adopt(child, owner, self.owner_kind)
                if adopted := await self._patch(owner, child, patch):
                    found.append(adopted)
        for child in claim.release:
            await self._patch(owner, child, patch_release(child, owner))
        return found

    async def _still_there(self, owner: Object) -> bool:
        """Ask the server, not the cache: a deleted owner must not adopt."""
        try:
            fresh = await self.client.get(self.owner_kind, name(owner), namespace(owner))
        except ApiError as error:
            if error.reason == "NotFound":
                return False
            raise
        return uid(fresh) == uid(owner) and not is_deleting(fresh)

    async def _patch(self, owner: Object, child: Object, patch: Object) -> Object | None:
        try:
            done = await self.client.patch(self.child_kind, name(child), namespace(child), patch)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise
        return self.writes.note(key(owner), self.children, done)


def _owners_of(child: Object) -> Any:
    return child["metadata"].get("ownerReferences")


def owner_keys(
    owner_kind: Resource, owners: Informer, matching: Callable[[Object, Object], bool]
) -> Callable[[Object | None, Object | None], Iterable[str]]:
    """For events of children: the keys of the owners concerned.

    An orphan concerns every owner in its namespace whose selector matches it (`matching(owner,
    child)`).
    """

    def keys(old: Object | None, new: Object | None) -> Iterable[str]:
        child = new or old
        references = child["metadata"].get("ownerReferences") if child else None
        if child and references and (old is None or _owners_of(old) == references):
            # The common case, for every event of every pod: it has had this owner all along.
            for reference in references:
                if reference.get("controller"):
                    mine = reference["kind"] == owner_kind.kind
                    return (f"{namespace(child)}/{reference['name']}",) if mine else ()
        return general(old, new)

    def general(old: Object | None, new: Object | None) -> Iterable[str]:
        found = set()
        for child in (old, new):
            if child is None:
                continue
            reference = controller_of(child)
            if reference is not None:
                if reference.get("kind") == owner_kind.kind:
                    found.add(f"{namespace(child)}/{reference['name']}")
            elif new is not None and labels(child):
                for owner in owners.list(namespace(child)):
                    if matching(owner, child):
                        found.add(key(owner))
        return found

    return keys
