"""Objects as bytes: each is encoded at most once, however many read or watch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from netemu.api import table, versions
from netemu.api.kind import Kind, Object
from netemu.apiserver.http.negotiation import Form
from netemu.apiserver.watcher import Entry

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """How one request wants its objects: under which version, and in which form."""

    kind: Kind
    api_version: str
    form: Form
    include: str = "Metadata"
    now: Callable[[], float]
    """The clock: what a watch sends later is older by then."""

    @property
    def plain(self) -> bool:
        """Whether an entry's own bytes are what is wanted."""
        return self.form.shape == "object" and self.api_version == self.kind.api_version

    def shown(self, obj: Object) -> Object:
        """An object under the version of the request."""
        group, _, version = self.api_version.rpartition("/")
        return versions.from_stored(self.kind, obj, group, version)

    def entry(self, entry: Entry) -> bytes:
        if self.plain:
            return wire(entry)
        return self.one(entry.object)

    def one(self, obj: Object) -> bytes:
        if self.form.shape == "object":
            return encode(self.shown(obj))
        if self.form.shape == "table":
            revision = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return encode(self._table([obj], revision))
        return encode(self._partial(obj))

    def row(self, obj: Object, *, headers: bool) -> bytes:
        """A Table of one row, as a watch sends it."""
        revision = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return encode(self._table([obj], revision, headers=headers))

    def list(self, entries: Sequence[Entry], metadata: Object) -> bytes:
        """A list document; `metadata` is the list's own."""
        if self.form.shape == "table":
            return encode(self._table([entry.object for entry in entries], metadata))
        if self.form.shape == "partial":
            items = [encode(self._partial(entry.object)) for entry in entries]
            return _join("PartialObjectMetadataList", self._meta_version, metadata, items)
        items = [self.entry(entry) for entry in entries]
        return _join(f"{self.kind.kind}List", self.api_version, metadata, items)

    @property
    def _meta_version(self) -> str:
        return f"meta.k8s.io/{self.form.version}"

    def _partial(self, obj: Object) -> Object:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self._meta_version,
            "metadata": obj["metadata"],
        }

    def _table(
        self, objects: Sequence[Object], metadata: Object, *, headers: bool = True
    ) -> Object:
        return table.render(
            self.kind,
            objects,
            now=self.now(),
            include=self.include,
            list_metadata=metadata,
            version=self.form.version,
            headers=headers,
        )


def wire(entry: Entry) -> bytes:
    """The JSON of an entry, kept with it."""
    if entry.wire is None:
        entry.wire = encode(entry.object)
    return entry.wire


def _join(kind: str, api_version: str, metadata: Object, items: Sequence[bytes]) -> bytes:
    head = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"
