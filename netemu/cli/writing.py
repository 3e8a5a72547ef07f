"""Sending manifests to the API one by one, and saying what became of each.

An object that the server refuses does not keep the others from being sent, as in kubectl; the error
names file, document and field, and the end says how many were applied.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netemu.api.resource import Object
from netemu.cli.discovery import Served
from netemu.cli.failures import CommandFailed, api_headline
from netemu.cli.fromfiles import served
from netemu.cli.manifests import Manifest
from netemu.cli.output import render, without_managed_fields
from netemu.cli.session import Session
from netemu.cli.targets import Target, of_object, typed
from netemu.errors import ApiError, ManifestError

DRY_RUN_NOTES = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


class Written(NamedTuple):
    """One object as the server has it now; `verb` is created, configured, unchanged …"""

    target: Target
    object: Object
    verb: str


Send = Callable[[Target, Object], Written]


def write_all(
    session: Session,
    manifests: Sequence[Manifest],
    send: Send,
    *,
    form: str = "",
    dry_run: str = "none",
    done: str = "applied",
) -> list[Written]:
    """Send each manifest; CommandFailed at the end when some were refused."""
    resources = served(session.discovery, manifests)
    written: list[Written] = []
    refused: list[str] = []
    for manifest, resource in zip(manifests, resources, strict=True):
        try:
            target, obj = place(session, manifest, resource or _made(session, manifest))
            result = send(target, obj)
        except ApiError as error:
            refused.append(f"{manifest.source}: {api_headline(error)}")
            print(f"error: {refused[-1]}", file=sys.stderr)
        except ManifestError as error:
            refused.append(str(error))
            print(f"error: {error}", file=sys.stderr)
        else:
            report(result, form, dry_run, first=not written)
            written.append(result)
    if refused:
        raise CommandFailed(
            f"{len(written)} of {len(manifests)} objects {done}, {len(refused)} refused"
        )
    return written


def place(session: Session, manifest: Manifest, resource: Served) -> tuple[Target, Object]:
    """Where the object goes, and the object with its namespace filled in."""
    metadata = manifest.object.get("metadata") or {}
    named = metadata.get("namespace") or ""
    flag = session.namespace_flag
    if resource.namespaced and flag and named and named != flag:
        raise ManifestError(
            manifest.source,
            f'the namespace from the provided object "{named}" does not match the namespace'
            f' "{flag}"',
            hint=f"-n {named}",
        )
    target = of_object(resource, manifest.object, session.namespace)
    if not resource.namespaced:
        return target, manifest.object
    return target, {
        **manifest.object,
        "metadata": {**metadata, "namespace": target.namespace},
    }


def _made(session: Session, manifest: Manifest) -> Served:
    """The resource of a CustomResourceDefinition that was sent a moment ago."""
    session.discovery.forget()
    resource = session.discovery.by_kind(manifest.api_version, manifest.kind)
    if resource is None:
        raise ManifestError(
            manifest.source,
            f'no matches for kind "{manifest.kind}" in version "{manifest.api_version}"',
        )
    return resource


def report(result: Written, form: str, dry_run: str, *, first: bool = True) -> None:
    """Say what became of one object, or print it."""
    if form:
        obj = without_managed_fields(typed(result.object, result.target.resource))
        text = render(obj, form)
        sys.stdout.write("---\n" + text if form == "yaml" and not first else text)
        return
    name = (result.object.get("metadata") or {}).get("name", result.target.name)
    named = result.target.resource.named(name)
    print(f"{named} {result.verb}{DRY_RUN_NOTES[dry_run]}", flush=True)
