"""A fixed set of objects from YAML or JSON files: a resolver without a cluster.

Namespaces that only other objects name are taken as given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source import apply, problems
from netemu.errors import ManifestError

SUFFIXES = (".yaml", ".yml", ".json")


class FileSource:
    """Fills stores with what was read from files."""

    def __init__(self, objects: Sequence[dict[str, Any]]) -> None:
        self._objects = objects

    @classmethod
    def read(cls, paths: Sequence[Path]) -> FileSource:
        """Read files, and all YAML and JSON files of directories. Raises ManifestError."""
        return cls([obj for path in paths for obj in read_objects(path)])

    def fill(self, wanted: Wanted, store: Store) -> None:
        now = time.time()
        for feed in apply.feeds(wanted):
            for obj in self._of_kind(feed.resource.kind, wanted):
                try:
                    raw = msgspec.convert(obj, type=feed.shape)
                except msgspec.ValidationError as error:
                    problems.tell([f"{_where(obj)}: {error}"])
                    continue
                feed.set(store, raw, True, wanted, now)
        for name in self._implied():
            store.set_namespace(name, True, now)
        store.set_synced()

    def _of_kind(self, kind: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
        text = {"Service": wanted.labels, "Namespace": wanted.namespace_labels}.get(kind, "")
        if text:
            from netemu.api.selectors import parse_labels

            selector = parse_labels(text)
        for obj in self._objects:
            if obj.get("kind") != kind:
                continue
            metadata = obj.get("metadata") or {}
            if kind != "Namespace":
                obj = {**obj, "metadata": {"namespace": "default", **metadata}}
            if not text or selector.matches(metadata.get("labels") or {}):
                yield obj

    def _implied(self) -> set[str]:
        """Namespaces of objects, where no Namespace object says more about them."""
        said = {_name(obj) for obj in self._objects if obj.get("kind") == "Namespace"}
        used = {
            str((obj.get("metadata") or {}).get("namespace") or "default")
            for obj in self._objects
            if obj.get("kind") in ("Service", "EndpointSlice", "Pod")
        }
        return used - said


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """All objects of a file, or of a directory's YAML and JSON files."""
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.suffix in SUFFIXES and inner.is_file():
                yield from read_objects(inner)
        return
    try:
        text = path.read_text()
    except OSError as error:
        raise ManifestError(str(path), error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), f"is not UTF-8: {error}") from None
    for number, document in enumerate(_documents(path, text), 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ManifestError(f"{path}: document {number}", "is not an object")
        items = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
            kind = str(document["kind"]).removesuffix("List")
            yield from ({"kind": kind, **item} for item in items if isinstance(item, dict))
        else:
            yield document


def _documents(path: Path, text: str) -> list[Any]:
    if path.suffix == ".json":
        try:
            return [msgspec.json.decode(text)]
        except msgspec.DecodeError as error:
            raise ManifestError(str(path), f"is not JSON: {error}") from None
    import yaml

    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ManifestError(str(path), f"is not YAML: {error}") from None


def _name(obj: dict[str, Any]) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _where(obj: dict[str, Any]) -> str:
    return f"{obj.get('kind')} {_name(obj)}"
