"""A fixed set of objects from YAML or JSON files: a resolver without a cluster.

Namespaces that only other objects name are taken as given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source import apply, problems
from netemu.dns.source.apply import Feed
from netemu.errors import ManifestError

SUFFIXES = (".yaml", ".yml", ".json")


class FileSource:
    """Fills stores with what files hold, object by object, and keeps nothing of them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def fill(self, wanted: Wanted, store: Store) -> None:
        """Raises ManifestError for a file that cannot be read."""
        now = time.time()
        feeds = {feed.resource.kind: feed for feed in apply.feeds(wanted)}
        choose = {
            kind: _selector(wanted.selector(feed.resource.plural)) for kind, feed in feeds.items()
        }
        said, used = set[str](), set[str]()
        for path in self._paths:
            for obj in read_objects(path):
                kind = str(obj.get("kind"))
                metadata = obj.get("metadata") or {}
                if kind == "Namespace":
                    said.add(str(metadata.get("name")))
                elif kind in _KINDS:
                    metadata = {"namespace": "default", **metadata}
                    obj = {**obj, "metadata": metadata}
                    used.add(str(metadata["namespace"]))
                matches = choose.get(kind, _all)
                if kind in feeds and matches(metadata.get("labels") or {}):
                    _put(feeds[kind], obj, wanted, store, now)
        for name in used - said:
            store.set_namespace(name, True, now)
        store.set_synced()


_KINDS = frozenset({"Service", "EndpointSlice", "Pod", "ServiceImport"})


def _put(feed: Feed, obj: dict[str, Any], wanted: Wanted, store: Store, now: float) -> None:
    try:
        raw = msgspec.convert(obj, type=feed.shape)
    except msgspec.ValidationError as error:
        problems.tell([f"{_where(obj)}: {error}"])
    else:
        feed.set(store, raw, True, wanted, now)


def _all(labels: Mapping[str, str]) -> bool:
    return True


def _selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    if not text:
        return _all
    from netemu.api.selectors import parse_labels

    return parse_labels(text).matches


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """All objects of a file, or of a directory's YAML and JSON files, one after the other."""
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.suffix in SUFFIXES and inner.is_file():
                yield from read_objects(inner)
        return
    try:
        data = path.read_bytes()
        documents = _json(path, data) if path.suffix == ".json" else _yaml(path, data.decode())
    except OSError as error:
        raise ManifestError(str(path), error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), f"is not UTF-8: {error}") from None
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ManifestError(f"{path}: document {number}", "is not an object")
        yield from _unlisted(document)


def _unlisted(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    items, kind = document.get("items"), str(document.get("kind", ""))
    if not kind.endswith("List") or not isinstance(items, list):
        yield document
        return
    kind = kind.removesuffix("List")
    for item in items:
        if isinstance(item, msgspec.Raw):
            item = msgspec.json.decode(item)
        if isinstance(item, dict):
            yield {"kind": kind, **item}


class _Document(msgspec.Struct):
    """A JSON document; the items of a list stay bytes until each is needed."""

    kind: str = ""
    items: list[msgspec.Raw] | None = None


def _json(path: Path, data: bytes) -> Iterator[Any]:
    try:
        head = msgspec.json.decode(data, type=_Document)
        if head.kind.endswith("List") and head.items is not None:
            yield {"kind": head.kind, "items": head.items}
            return
    except msgspec.ValidationError:
        pass  # some other document; read it as it is
    except msgspec.DecodeError as error:
        raise ManifestError(str(path), f"is not JSON: {error}") from None
    yield msgspec.json.decode(data)


def _yaml(path: Path, text: str) -> Iterator[Any]:
    import yaml

    try:
        yield from yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ManifestError(str(path), f"is not YAML: {error}") from None


def _name(obj: dict[str, Any]) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _where(obj: dict[str, Any]) -> str:
    return f"{obj.get('kind')} {_name(obj)}"
