"""Rules that hold for every object: its metadata, and what of it may change.

`validate` is what the server asks: the metadata's rules, then the kind's own.

https://github.com/kubernetes/apimachinery/blob/master/pkg/api/validation/objectmeta.go
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netemu.api import meta, names
from netemu.api.invalid import forbidden, invalid, required, too_long
from netemu.api.kind import CREATE_ONLY, Cause, Kind, Object
from netemu.api.labelrules import check_labels

ANNOTATIONS_LIMIT = 256 * 1024
IMMUTABLE = "field is immutable"
_FINALIZERS = frozenset(
    (
        "kubernetes",
        "orphan",
        "foregroundDeletion",
        "customresourcecleanup.apiextensions.k8s.io",  # the server's own, on definitions
    )
)
_FIXED = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def validate(
    kind: Kind, obj: Object, old: Object | None = None, *, subresource: str = ""
) -> list[Cause]:
    """All that is wrong with `obj`, which has its defaults; `old` is what it replaces.

    The shape (`schema.check`) must be right already. `subresource` may be `status`.
    """
    causes = check_metadata(kind, obj, old)
    if subresource == "status":
        return causes + kind.validate_status(obj, old)
    return causes + kind.validate(obj, old)


def check_metadata(kind: Kind, obj: Object, old: Object | None) -> list[Cause]:
    metadata = meta.metadata(obj)
    causes: list[Cause] = []
    if kind.verbs == CREATE_ONLY:
        pass  # reviews have no name
    elif old is None:
        causes += _check_name(kind, metadata)
        causes += _check_namespace(kind, metadata)
    else:
        causes += _check_update(metadata, meta.metadata(old))
    if metadata.get("labels"):
        causes += check_labels(metadata["labels"], "metadata.labels")
    if metadata.get("annotations"):
        causes += check_annotations(metadata["annotations"], "metadata.annotations")
    if metadata.get("ownerReferences"):
        causes += _check_owners(metadata["ownerReferences"], "metadata.ownerReferences")
    if metadata.get("finalizers"):
        standard = kind.open_api is None
        causes += _check_finalizers(metadata["finalizers"], "metadata.finalizers", standard)
    return causes


def _check_finalizers(finalizers: list[str], path: str, standard: bool) -> list[Cause]:
    """`standard`: a built-in kind's finalizers without a domain must be well-known ones."""
    causes: list[Cause] = []
    for index, finalizer in enumerate(finalizers):
        causes += [invalid(path, finalizer, why) for why in names.qualified_name(finalizer)]
        if standard and "/" not in finalizer and finalizer not in _FINALIZERS:
            message = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid(f"{path}[{index}]", finalizer, message))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid(path, finalizers, message))
    return causes


def _check_name(kind: Kind, metadata: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    prefix, name = metadata.get("generateName"), metadata.get("name")
    if prefix:
        wrong = names.check_prefix(kind.name_rule, prefix)
        causes += [invalid("metadata.generateName", prefix, why) for why in wrong]
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        wrong = names.check(kind.name_rule, name)
        causes += [invalid("metadata.name", name, why) for why in wrong]
    return causes


def _check_namespace(kind: Kind, metadata: dict[str, Any]) -> list[Cause]:
    space = metadata.get("namespace")
    if not kind.namespaced:
        return [forbidden("metadata.namespace", "not allowed on this type")] if space else []
    if not space:
        return [required("metadata.namespace")]
    wrong = names.dns1123_label(space)
    return [invalid("metadata.namespace", space, why) for why in wrong]


def _check_update(metadata: dict[str, Any], old: dict[str, Any]) -> list[Cause]:
    causes = [
        invalid(f"metadata.{key}", metadata.get(key), IMMUTABLE)
        for key in _FIXED
        if metadata.get(key) != old.get(key)
    ]
    if (metadata.get("generation") or 0) < (old.get("generation") or 0):
        generation = metadata.get("generation")
        causes.append(invalid("metadata.generation", generation, "must not be decremented"))
    if old.get("deletionTimestamp"):
        before = old.get("finalizers") or ()
        new = sorted(set(metadata.get("finalizers") or ()).difference(before))
        if new:
            message = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{', '.join(f'{chr(34)}{name}{chr(34)}' for name in new)}}}"
            )
            causes.append(forbidden("metadata.finalizers", message))
    return causes


def check_annotations(annotations: dict[str, str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    size = 0
    for key, value in annotations.items():
        wrong = names.qualified_name(key.lower())
        if wrong:
            causes += [invalid(path, key, why) for why in wrong]
        size += len(key) + len(value)
    if size > ANNOTATIONS_LIMIT:
        causes.append(too_long(path, ANNOTATIONS_LIMIT))
    return causes


def _check_owners(references: Sequence[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    controller = ""
    for reference in references:
        version = str(reference.get("apiVersion") or "").rpartition("/")[2]
        for key, value in (
            ("apiVersion", version),
            ("kind", reference.get("kind")),
            ("name", reference.get("name")),
            ("uid", reference.get("uid")),
        ):
            if not value:
                what = "version" if key == "apiVersion" else key
                given = reference.get(key) or ""
                causes.append(invalid(f"{path}.{key}", given, f"{what} must not be empty"))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            message = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(invalid(path, reference, message))
        if reference.get("controller"):
            if controller:
                message = (
                    'Only one reference can have Controller set to true. Found "true" in '
                    f"references for {controller} and {reference.get('name')}"
                )
                causes.append(invalid(path, list(references), message))
            controller = controller or str(reference.get("name"))
    return causes


def immutable(obj: Object, old: Object, *fields: str, path: str = "spec") -> list[Cause]:
    """One cause for each of `fields`, below `path`, that differs between the two."""
    new, before = obj.get(path) or {}, old.get(path) or {}
    return [
        invalid(f"{path}.{name}", new.get(name), IMMUTABLE)
        for name in fields
        if new.get(name) != before.get(name)
    ]


def not_negative(values: Object, path: str, *fields: str) -> list[Cause]:
    """One cause for each of the numbers that is below zero."""
    message = "must be greater than or equal to 0"
    return [
        invalid(f"{path}.{name}", values[name], message)
        for name in fields
        if (values.get(name) or 0) < 0
    ]
