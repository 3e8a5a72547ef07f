"""The page that a description is written on: levels of indentation, aligned columns, and the parts
that all kinds share (labels, annotations, times).

The layout is kubectl's: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_describe/
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netemu.api.duration import human
from netemu.api.resource import Object
from netemu.cli.tabs import align
from netemu.cli.threeway import LAST_APPLIED

NONE, UNSET = "<none>", "<unset>"
LONGEST_ANNOTATION = 140


class Page:
    """Lines with tabs; `text` aligns neighbours."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._lines: list[str] = []

    def line(self, text: str = "", *, level: int = 0) -> None:
        """One line; tabs end cells."""
        self._lines.append("  " * level + text)

    def field(self, name: str, value: Any, *, level: int = 0) -> None:
        """`Name:  value`."""
        self.line(f"{name}:\t{value}", level=level)

    def fields(self, pairs: Iterable[tuple[str, Any]], *, level: int = 0) -> None:
        for name, value in pairs:
            self.field(name, value, level=level)

    def table(
        self, headers: Iterable[str], rows: Iterable[Iterable[Any]], *, level: int = 1
    ) -> None:
        """Headers, a line of dashes as long as they are, and rows."""
        names = list(headers)
        self.line("\t".join(names), level=level)
        self.line("\t".join("-" * len(name) for name in names), level=level)
        for row in rows:
            self.line("\t".join(str(cell) for cell in row), level=level)

    def flush(self) -> None:
        """End of a block: what comes next is aligned by itself."""
        self._done += align(self._lines)
        self._lines = []

    def text(self) -> str:
        self.flush()
        return "\n".join(self._done) + "\n"

    def multiline(self, title: str, values: Iterable[str], *, indent: str = "") -> None:
        """`Title:  first`, and the others below it; `<none>` when there are none."""
        first = True
        for value in values:
            self.line(f"{indent}{title}:\t{value}" if first else f"{indent}\t{value}")
            first = False
        if first:
            self.line(f"{indent}{title}:\t{NONE}")

    def labels(self, title: str, labels: Mapping[str, str] | None, *, indent: str = "") -> None:
        found = labels or {}
        self.multiline(title, (f"{key}={found[key]}" for key in sorted(found)), indent=indent)

    def annotations(
        self, title: str, annotations: Mapping[str, str] | None, *, indent: str = ""
    ) -> None:
        """Long values and such of several lines stand below their key."""
        found = {k: v for k, v in (annotations or {}).items() if k != LAST_APPLIED}
        lines: list[str] = []
        for key in sorted(found):
            value = found[key].removesuffix("\n")
            if len(key) + len(value) + 2 > LONGEST_ANNOTATION or "\n" in value:
                lines.append(f"{key}:")
                lines += [f"  {_shortened(part)}" for part in value.split("\n")]
            else:
                lines.append(f"{key}: {value}")
        self.multiline(title, lines, indent=indent)

    def head(self, obj: Object, *, namespaced: bool = True) -> None:
        """Name and namespace."""
        self.field("Name", obj["metadata"]["name"])
        if namespaced:
            self.field("Namespace", obj["metadata"].get("namespace", ""))

    def metadata(self, obj: Object) -> None:
        """Labels and annotations."""
        self.labels("Labels", obj["metadata"].get("labels"))
        self.annotations("Annotations", obj["metadata"].get("annotations"))


def _shortened(text: str) -> str:
    limit = LONGEST_ANNOTATION - 2
    return text if len(text) <= limit else text[:limit] + "..."


def moment(stamp: str | None) -> str:
    """RFC 1123 in local time, as kubectl prints moments."""
    if not stamp:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    return datetime.fromisoformat(stamp).astimezone().strftime("%a, %d %b %Y %H:%M:%S %z")


def since(stamp: str | None) -> str:
    """How long ago: `3m10s`."""
    if not stamp:
        return "<unknown>"
    return human(time.time() - datetime.fromisoformat(stamp).timestamp())


def controller(obj: Object) -> str:
    """`ReplicaSet/web-5d4c`, or nothing."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as kubectl writes it: `app=web,tier in (a,b)`."""
    if not selector:
        return NONE
    labels = selector.get("matchLabels") or {}
    parts = [f"{key}={labels[key]}" for key in sorted(labels)]
    for each in selector.get("matchExpressions") or ():
        operator, key = each["operator"], each["key"]
        values = ",".join(sorted(each.get("values") or ()))
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }.get(operator, f"{key} {operator} {values}")
        )
    return ",".join(parts) or NONE
