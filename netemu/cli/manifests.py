"""Manifests: from files, directories and standard input to objects, each with its place.

Everything is read and checked before anything is applied, so a bad document never leaves half of a
file in the cluster. All problems are reported together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.resource import Object
from netemu.cli.failures import CommandFailed
from netemu.documents.document import Document
from netemu.documents.reader import MAX_BYTES, decode, parse
from netemu.errors import ManifestError, NetemuError

EXTENSIONS = (".yaml", ".yml", ".json")
CLUSTER_API_VERSION = "netemu.dev/v1"
STDIN = "standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object of a manifest. `source` is its file and document, and its place in a List."""

    object: Object
    source: str

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def api_version(self) -> str:
        return str(self.object["apiVersion"])

    @property
    def name(self) -> str:
        return str((self.object.get("metadata") or {}).get("name") or "")

    @property
    def is_cluster(self) -> bool:
        """Whether it is the settings of a cluster rather than an object in it."""
        return self.api_version == CLUSTER_API_VERSION and self.kind == "Cluster"


class BadManifests(NetemuError):
    """Some documents are wrong; nothing was sent to the cluster."""

    def __init__(self, errors: Sequence[ManifestError]) -> None:
        super().__init__(
            "\n".join(str(error) for error in errors),
            hint=next((error.hint for error in errors if error.hint), ""),
        )
        self.errors = tuple(errors)


def read(sources: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """All objects of `sources` (files, directories, `-`) in order; BadManifests with all errors."""
    manifests: list[Manifest] = []
    errors: list[ManifestError] = []
    for file, content in _contents(sources, recursive):
        try:
            documents, bad = parse(decode(content, file), file)
        except ManifestError as error:
            errors.append(error)
            continue
        errors += bad
        for document in documents:
            _add(document, manifests, errors)
    if errors:
        raise BadManifests(errors)
    return manifests


def read_objects(sources: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """As `read`, without Cluster documents; having no object at all is an error."""
    manifests = read(sources, recursive=recursive)
    objects = [manifest for manifest in manifests if not manifest.is_cluster]
    for manifest in manifests:
        if manifest.is_cluster:
            print(
                f"{manifest.source}: Cluster is for `netemu up -f`; not an object, left out",
                file=sys.stderr,
            )
    if not objects and not manifests:
        raise CommandFailed("no objects passed to apply")
    return objects


def _add(document: Document, manifests: list[Manifest], errors: list[ManifestError]) -> None:
    for value, source in _flattened(document.value, document.source):
        problem = _problem(value)
        if problem:
            errors.append(ManifestError(source, problem))
        else:
            manifests.append(Manifest(object=value, source=source))


def _flattened(value: Any, source: str) -> Iterator[tuple[Any, str]]:
    """The object itself, or the items of a List of any kind."""
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        yield value, source
        return
    kind = str(value.get("kind", ""))
    if not kind.endswith("List"):
        yield value, source
        return
    for number, item in enumerate(value["items"], 1):
        if isinstance(item, dict) and kind != "List":
            item = {"apiVersion": value.get("apiVersion"), "kind": kind[:-4]} | item
        yield from _flattened(item, f"{source}: item {number}")


def _problem(value: Any) -> str:
    """Why `value` cannot be an object at all; the API server judges the rest."""
    if not isinstance(value, dict):
        return f"is {_article(value)}, not an object with apiVersion and kind"
    for field in ("apiVersion", "kind"):
        if not value.get(field):
            return f"{field} not set"
        if not isinstance(value[field], str):
            return f"{field}: must be text, is {_article(value[field])}"
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        return f"metadata: must be a map, is {_article(metadata)}"
    name = (metadata or {}).get("name")
    if name is not None and not isinstance(name, str):
        return f'metadata.name: must be text, is {_article(name)} (write it as "{name}")'
    return ""


def _article(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "empty" if value is None else names.get(type(value), "a map")


def _contents(sources: Sequence[str], recursive: bool) -> Iterator[tuple[str, bytes]]:
    for source in sources:
        if source == "-":
            yield STDIN, sys.stdin.buffer.read(MAX_BYTES + 1)
        elif source.startswith(("http://", "https://")):
            raise CommandFailed(
                f"{source}: only files are read, not addresses",
                hint=f"curl -sL {source} | netemu apply -f -",
            )
        else:
            for path in _files(source, recursive):
                yield path, _read(path)


def _files(source: str, recursive: bool) -> list[str]:
    if not os.path.exists(source):
        raise CommandFailed(f'the path "{source}" does not exist')
    if not os.path.isdir(source):
        return [source]
    from pathlib import Path  # most commands name files, and start in less time without it

    pattern = "**/*" if recursive else "*"
    found = sorted(
        str(path)
        for path in Path(source).glob(pattern)
        if path.suffix in EXTENSIONS and path.is_file()
    )
    if not found:
        raise CommandFailed(
            f"error reading [{source}]: recognized file extensions are [.json .yaml .yml]",
            hint="" if recursive else "-R, when the manifests are in its subdirectories",
        )
    return found


def _read(path: str) -> bytes:
    """At most one byte more than is allowed, so that a huge file costs nothing."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise BadManifests([_too_big(path, size)])
        return file.read(MAX_BYTES + 1)


def _too_big(path: str, size: int) -> ManifestError:
    return ManifestError(
        path,
        f"is {size / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.1f} MB are read",
        hint="split it: the API takes no single object above 3 MB",
    )
