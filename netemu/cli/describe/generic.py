"""Kinds without a page of their own: all fields, in kubectl's generic form; ConfigMaps, Secrets and
Namespaces, which are nearly that."""

from __future__ import annotations

import base64
import re
from typing import Any

from netemu.api.resource import Object
from netemu.cli.describe.page import Page

SKIPPED = (
    ".metadata.managedFields",
    ".metadata.name",
    ".metadata.namespace",
    ".metadata.labels",
    ".metadata.annotations",
)
ACRONYMS = ("API", "URL", "UID", "OSB", "GUID")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|-")


def write_generic(page: Page, obj: Object) -> None:
    page.head(obj)
    page.metadata(obj)
    _content(page, 0, obj, "")


def _content(page: Page, level: int, content: dict[str, Any], path: str) -> None:
    for field in sorted(content):
        value, here = content[field], f"{path}.{field}"
        if here in SKIPPED:
            continue
        if isinstance(value, dict):
            page.line(f"{title(field)}:", level=level)
            _content(page, level + 1, value, here)
        elif isinstance(value, list):
            page.line(f"{title(field)}:", level=level)
            for child in value:
                if isinstance(child, dict):
                    _content(page, level + 1, child, here)
                else:
                    page.line(_shown(child), level=level + 1)
        else:
            page.field(title(field), _shown(value), level=level)


def title(field: str) -> str:
    """`podCIDR` becomes `Pod CIDR`; names with other signs than letters stay."""
    if not all(char.isalpha() or char == "-" for char in field):
        return field
    parts = _WORDS.findall(field)
    return " ".join(p.upper() if p.upper() in ACRONYMS else p[:1].upper() + p[1:] for p in parts)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)


def write_config_map(page: Page, obj: Object) -> None:
    page.head(obj)
    page.metadata(obj)
    page.line()
    page.line("Data")
    page.line("====")
    data = obj.get("data") or {}
    for key in sorted(data):
        page.line(f"{key}:")
        page.line("----")
        for part in data[key].split("\n"):
            page.line(part)
        page.line()
    page.line()
    page.line("BinaryData")
    page.line("====")
    binary = obj.get("binaryData") or {}
    for key in sorted(binary):
        page.line(f"{key}: {len(base64.b64decode(binary[key]))} bytes")
    page.line()


def write_secret(page: Page, obj: Object) -> None:
    """Sizes only; a secret's values are not for the screen."""
    page.head(obj)
    page.metadata(obj)
    page.line()
    page.field("Type", obj.get("type", ""))
    page.line()
    page.line("Data")
    page.line("====")
    data = obj.get("data") or {}
    for key in sorted(data):
        page.field(key, f"{len(base64.b64decode(data[key]))} bytes")


def write_namespace(page: Page, obj: Object) -> None:
    page.head(obj, namespaced=False)
    page.metadata(obj)
    page.field("Status", (obj.get("status") or {}).get("phase", ""))
    page.line()
    page.line("No resource quota.")
    page.line()
    page.line("No LimitRange resource.")
