"""Which volume fits a claim: class, modes, size, selector; the smallest wins. Pure.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netemu.api.amounts import amount
from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import is_deleting, labels, name, namespace, uid
from netemu.api.selectors import from_label_selector

DEFAULT_CLASS = "standard"
_IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def default_class(classes: Iterable[Object]) -> str:
    """The newest class that is marked as the default; `standard` when none is."""
    marked = [found for found in classes if annotations_of(found).get(_IS_DEFAULT) == "true"]
    newest = max(
        marked, key=lambda found: found["metadata"].get("creationTimestamp") or "", default=None
    )
    return name(newest) if newest is not None else DEFAULT_CLASS


def class_of(obj: Object, default: str = "") -> str:
    """The storage class of a volume, or of a claim: one that names none gets the `default`."""
    named = obj["spec"].get("storageClassName")
    return default if named is None else str(named)


def asked_size(claim: Object) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return amount("storage", str(requests.get("storage", "0")))


def size_of(volume: Object) -> int:
    return amount("storage", str((volume["spec"].get("capacity") or {}).get("storage", "0")))


def is_claimed_by(volume: Object, claim: Object) -> bool:
    """Bound to the claim, or reserved for it by name."""
    reference = volume["spec"].get("claimRef")
    if not reference:
        return False
    if (reference.get("namespace"), reference.get("name")) != (namespace(claim), name(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == uid(claim)


def fits(volume: Object, claim: Object) -> bool:
    """Whether the claim may have the volume, whoever else wants it."""
    spec, wanted = volume["spec"], claim["spec"]
    selector = wanted.get("selector")
    return (
        not is_deleting(volume)
        and (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        and size_of(volume) >= asked_size(claim)
        and (selector is None or from_label_selector(selector).matches(labels(volume)))
    )


def choose(claim: Object, volumes: Iterable[Object], default: str = "") -> Object | None:
    """The volume reserved for the claim, or the smallest free one that fits."""
    free: list[Object] = []
    wanted = claim["spec"].get("volumeName")
    for volume in volumes:
        if wanted and name(volume) != wanted:
            continue
        if is_claimed_by(volume, claim) and fits(volume, claim):
            return volume
        same = class_of(volume) == class_of(claim, default) or bool(wanted)
        if not volume["spec"].get("claimRef") and same and fits(volume, claim):
            free.append(volume)
    return min(free, key=lambda volume: (size_of(volume), name(volume)), default=None)


def phase(obj: Object) -> str:
    return str((obj.get("status") or {}).get("phase") or "Pending")


def modes(claim: Object) -> Sequence[str]:
    return list(claim["spec"].get("accessModes") or ())
