"""`-o`: json, yaml, name, jsonpath and custom-columns, in kubectl's forms.

https://kubernetes.io/docs/reference/kubectl/#output-options
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from netemu.api.resource import Object

TABLE_FORMS = ("", "wide")
OBJECT_FORMS = ("json", "yaml", "name")
_TEMPLATES = ("jsonpath", "jsonpath-file", "custom-columns", "custom-columns-file")
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def check(form: str) -> str:
    """`form` itself when we know it; a usage error otherwise."""
    name, equals, template = form.partition("=")
    if form in TABLE_FORMS + OBJECT_FORMS or (name in _TEMPLATES and equals and template):
        return form
    if name in _TEMPLATES:
        raise click.UsageError(f"template format specified but no template given: -o {name}=…")
    allowed = ", ".join((*OBJECT_FORMS, "wide", *(f"{t}=…" for t in _TEMPLATES)))
    raise click.UsageError(
        f"unable to match a printer suitable for the output format {form!r},"
        f" allowed formats are: {allowed}"
    )


def as_list(items: Sequence[Object]) -> Object:
    """What kubectl prints for several objects."""
    return {
        "apiVersion": "v1",
        "items": list(items),
        "kind": "List",
        "metadata": {"resourceVersion": ""},
    }


def without_managed_fields(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def render(obj: Object, form: str) -> str:
    """One object, or a List, in the form of `-o`; the text is complete with its line ends."""
    name, _, template = form.partition("=")
    if name == "json":
        return to_json(obj) + "\n"
    if name == "yaml":
        from netemu.cli.yamlio import dump

        return dump(obj)
    if name == "name":
        return "".join(f"{full_name(item)}\n" for item in _items(obj))
    if name.endswith("-file"):
        name = name.removesuffix("-file")
        with open(template) as file:
            template = file.read()
    if name == "jsonpath":
        from netemu.cli.jsonpath import Template

        return Template(template).render(obj)
    return _custom_columns(template, _items(obj))


def to_json(obj: Any) -> str:
    """Sorted, four spaces, and `<>&` escaped as Go's encoder does."""
    text = json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False)
    for char, escape in _ESCAPES.items():
        text = text.replace(char, escape)
    return text


def full_name(obj: Object) -> str:
    """`pod/web-0`, `deployment.apps/web`."""
    group = obj.get("apiVersion", "v1").rpartition("/")[0]
    kind = str(obj.get("kind", "")).lower()
    label = f"{kind}.{group}" if group else kind
    return f"{label}/{(obj.get('metadata') or {}).get('name', '')}"


def _items(obj: Object) -> list[Object]:
    if obj.get("kind") == "List" or "items" in obj:
        return list(obj.get("items") or ())
    return [obj]


def _custom_columns(spec: str, items: Sequence[Object]) -> str:
    """`NAME:.metadata.name,IP:.status.podIP`: a header and a line an object."""
    from netemu.cli.jsonpath import find, text_of
    from netemu.cli.tabs import align

    columns = []
    for part in spec.replace("\n", ",").split(","):
        header, colon, path = part.partition(":")
        if not colon or not path:
            raise click.UsageError(
                f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
            )
        columns.append((header, path))
    lines = ["\t".join(header for header, _ in columns)]
    for item in items:
        cells = []
        for _, path in columns:
            values = [text_of(value) for value in find(path, item)]
            cells.append(",".join(values) if values else "<none>")
        lines.append("\t".join(cells))
    return "\n".join(align(lines, minimum=6, padding=3)) + "\n"
