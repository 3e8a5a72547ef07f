"""`-f` for get, describe, delete, label …: the objects that manifests name."""

from __future__ import annotations

from collections.abc import Sequence

from netemu.cli.discovery import Discovery, Served
from netemu.cli.manifests import BadManifests, Manifest, read_objects
from netemu.cli.nearest import nearest
from netemu.cli.session import Session
from netemu.cli.targets import Target, of_object
from netemu.errors import ManifestError


def targets_in(
    session: Session, sources: Sequence[str], *, recursive: bool = False
) -> list[Target]:
    """One target an object, in the order of the files."""
    manifests = read_objects(sources, recursive=recursive)
    resources = served(session.discovery, manifests)
    return [
        of_object(resource, manifest.object, session.namespace)
        for manifest, resource in zip(manifests, resources, strict=True)
        if resource is not None
    ]


def served(discovery: Discovery, manifests: Sequence[Manifest]) -> list[Served | None]:
    """The resource of each; None when a CustomResourceDefinition among `manifests` will make it.

    All kinds that nobody serves are reported at once.
    """
    coming = {_custom(m) for m in manifests if m.kind == "CustomResourceDefinition"}
    found: list[Served | None] = []
    errors = []
    for manifest in manifests:
        resource = discovery.by_kind(manifest.api_version, manifest.kind)
        group = manifest.api_version.rpartition("/")[0]
        if resource is None and (group, manifest.kind) not in coming:
            errors.append(ManifestError(manifest.source, _no_match(discovery, manifest)))
        found.append(resource)
    if errors:
        raise BadManifests(errors)
    return found


def _custom(manifest: Manifest) -> tuple[str, str]:
    spec = manifest.object.get("spec") or {}
    return spec.get("group", ""), (spec.get("names") or {}).get("kind", "")


def _no_match(discovery: Discovery, manifest: Manifest) -> str:
    text = f'no matches for kind "{manifest.kind}" in version "{manifest.api_version}"'
    versions = [r.api_version for r in discovery.resources if r.kind == manifest.kind]
    if versions:
        return f'{text}; did you mean apiVersion "{versions[0]}"?'
    near = nearest(manifest.kind, discovery.kinds())
    if near:
        return f'{text}; did you mean kind "{near}"?'
    return f"{text}; `netemu api-resources` lists what there is"
