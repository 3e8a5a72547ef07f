"""Whether an object has the shape of its kind: right types, known fields.

A well-formed object is recognised in one quick walk. Only when that fails, a second walk finds out
what is wrong, in the words of the real server's decoder, and makes a copy without what a real
server drops when it decodes into its types: unknown fields, nulls, empty lists and maps. Quantities
get their canonical form.
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api import quantity
from netemu.api.kind import Kind, Object
from netemu.api.schema.definitions import of_kind
from netemu.api.schema.node import Node
from netemu.errors import ApiError

_RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
    r"([Zz]|[+-]\d\d:\d\d)"
).fullmatch
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_RANGES = {"int32": 1 << 31, "int64": 1 << 63}
_INT32 = 1 << 31
_GO = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. `clean` is the object to go on with, the same one if all was well."""

    clean: Object
    errors: tuple[str, ...] = ()
    """Wrong types, as the real server's decoder words them: a request with one is a 400."""
    unknown: tuple[str, ...] = ()
    """Paths of fields that the kind does not have: `spec.containers[0].foo`."""

    @property
    def ok(self) -> bool:
        return not self.errors and not self.unknown


def check(kind: Kind, obj: Object) -> Checked:
    """Check `obj` against the schema of its kind. `obj` itself is never changed."""
    node = of_kind(kind)
    walk = _Walk(custom=kind.open_api is not None)
    try:
        if fits(obj, node):
            return Checked(obj)
        clean = walk.value(obj, node, "", "")
    except RecursionError:
        return Checked({}, ("exceeded max depth",))
    return Checked(clean or {}, tuple(walk.errors), tuple(walk.unknown))


def prune(kind: Kind, obj: Object) -> Object:
    """`obj` without unknown fields and nulls; the same object when there are none."""
    return check(kind, obj).clean


def fits(value: dict[str, Any], node: Node) -> bool:
    """Whether a JSON object fits a struct node without anything to report or to drop."""
    quick, fields = node.quick, node.fields
    for key, inner in value.items():
        kind = inner.__class__
        if quick.get(key) is kind:
            if kind is int and not -_INT32 <= inner < _INT32:
                return False  # the thorough walk knows the exact range
            continue
        field = fields.get(key)
        if field is None:
            if node.preserve:
                continue
            return False
        shape = field.shape
        if kind is dict:
            if shape == "struct":
                if not fits(inner, field):
                    return False
            elif shape == "map":
                if not _map_fits(inner, field.element):
                    return False
            elif shape != "any":
                return False
        elif kind is list:
            if shape != "list":
                if shape != "any":
                    return False
            elif not _list_fits(inner, field.element):
                return False
        elif not _scalar_fits(inner, kind, field):
            return False
    return True


def _map_fits(value: dict[str, Any], element: Node) -> bool:
    if not value:
        return False
    shape = element.shape
    for inner in value.values():
        if inner.__class__ is str and shape == "string":
            continue
        if not _fits_any(inner, element):
            return False
    return True


def _list_fits(value: list[Any], element: Node) -> bool:
    if not value:
        return False
    shape = element.shape
    for inner in value:
        if inner.__class__ is str and shape == "string":
            continue
        if inner.__class__ is dict and shape == "struct":
            if not fits(inner, element):
                return False
        elif not _fits_any(inner, element):
            return False
    return True


def _fits_any(value: Any, node: Node) -> bool:
    kind, shape = value.__class__, node.shape
    if kind is dict:
        if shape == "struct":
            return fits(value, node)
        return shape == "any" or (shape == "map" and _map_fits(value, node.element))
    if kind is list:
        return shape == "any" or (shape == "list" and _list_fits(value, node.element))
    return _scalar_fits(value, kind, node)


def _scalar_fits(value: Any, kind: type, node: Node) -> bool:
    if value is None:
        return node.nullable or node.shape == "any"
    match node.shape:
        case "integer":
            limit = _RANGES.get(node.format, 1 << 63)
            return kind is int and -limit <= value < limit
        case "string":
            return kind is str
        case "boolean":
            return kind is bool
        case "int-or-string":
            return kind is int or kind is str
        case "quantity":
            return kind is str and quantity.is_canonical(value)
        case "time":
            return kind is str and _RFC3339(value) is not None
        case "number":
            return kind is int or kind is float
        case "bytes":
            return kind is str and _is_base64(value)
        case "any":
            return True
    return False


_ZERO = {"string": "", "integer": 0, "number": 0, "boolean": False, "int-or-string": 0}


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text, strict_mode=bool(text))
    except (binascii.Error, ValueError):
        return False
    return True


class _Walk:
    """The thorough walk: gathers what is wrong and copies what is right."""

    def __init__(self, *, custom: bool) -> None:
        self.custom = custom
        """A custom resource's wrong types are left to its validation, as the real server does."""
        self.errors: list[str] = []
        self.unknown: list[str] = []

    def value(self, value: Any, node: Node, path: str, struct: str) -> Any:
        """A clean copy of `value`; `struct` is the Go type that holds it."""
        shape = node.shape
        if shape == "any":
            return value
        if value is None:
            return None
        if shape in ("struct", "map"):
            if not isinstance(value, dict):
                return self._mismatch(value, node, path, struct)
            if not value and shape == "map":
                return value if self.custom else None
            return (
                self._struct(value, node, path)
                if shape == "struct"
                else {
                    key: made
                    for key, inner in value.items()
                    if (made := self.value(inner, node.element, _join(path, key), struct))
                    is not None
                }
            )
        if shape == "list":
            if not isinstance(value, list):
                return self._mismatch(value, node, path, struct)
            if not value:
                return value if self.custom else None
            return [
                self._item(inner, node.element, f"{path}[{index}]", struct)
                for index, inner in enumerate(value)
            ]
        if _scalar_fits(value, value.__class__, node):
            return value
        scalar = value.__class__ in (str, int, float)
        if shape == "quantity" and scalar and quantity.is_valid(value):
            return quantity.canonical(value)
        return self._mismatch(value, node, path, struct)

    def _item(self, value: Any, node: Node, path: str, struct: str) -> Any:
        """One of a list. Go reads a null there as the zero value of its type."""
        if value is None and not (self.custom and not path.startswith("metadata")):
            return {} if node.shape == "struct" else _ZERO.get(node.shape)
        return self.value(value, node, path, struct)

    def _struct(self, value: dict[str, Any], node: Node, path: str) -> dict[str, Any]:
        made = {}
        for key, inner in value.items():
            field = node.fields.get(key)
            where = _join(path, key)
            if field is None:
                if node.preserve:
                    made[key] = inner
                else:
                    self.unknown.append(where)
                continue
            if inner is None and field.nullable:
                made[key] = None
                continue
            clean = self.value(inner, field, where, node.type_name)
            if clean is not None:
                made[key] = clean
        return made

    def _mismatch(self, value: Any, node: Node, path: str, struct: str) -> Any:
        shape = node.shape
        if self.custom and not path.startswith("metadata"):
            return value
        if shape == "quantity" and not isinstance(value, (bool, dict, list)):
            self.errors.append(_quantity_error())
        elif shape == "time" and isinstance(value, str):
            self.errors.append(f'parsing time "{value}" as "{_LAYOUT}": cannot parse "{value}"')
        elif shape == "bytes" and isinstance(value, str):
            self.errors.append(f"illegal base64 data at input byte {_bad_byte(value)}")
        else:
            given = _GO.get(value.__class__, "value")
            if given == "number" and shape == "integer":
                given = f"number {value}"
            plain = re.sub(r"\[\d+\]", "", path)
            place = f"{struct}.{plain}" if struct else plain
            self.errors.append(
                f"json: cannot unmarshal {given} into Go struct field {place} of type "
                f"{_go_type(node)}"
            )
        return None


def _quantity_error() -> str:
    return (
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )


def _bad_byte(text: str) -> int:
    """Where base64 stops making sense, as Go's decoder counts."""
    for index, letter in enumerate(text):
        if not (letter.isascii() and (letter.isalnum() or letter in "+/=")):
            return index
    return len(text) - len(text) % 4


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _go_type(node: Node) -> str:
    match node.shape:
        case "integer":
            return node.format or "int64"
        case "boolean":
            return "bool"
        case "number":
            return "float64"
        case "map":
            return f"map[string]{_go_type(node.element)}"
        case "list":
            return f"[]{_go_type(node.element)}"
        case "struct":
            return f"v1.{node.type_name}" if node.type_name else "object"
        case "bytes":
            return "[]uint8"
        case "int-or-string":
            return "intstr.IntOrString"
        case "time":
            return "v1.Time"
    return node.shape


def problems(kind: Kind, checked: Checked, duplicates: Sequence[str] = ()) -> list[str]:
    """What a strict decoder has to say: a line each, as a Warning header has them.

    Of a field that a built-in kind does not have, how often it came is not told.
    """
    known = duplicates
    if kind.open_api is None:
        unknown = tuple(
            f'duplicate field "{path}{end}' for path in checked.unknown for end in '".['
        )
        known = [text for text in duplicates if not text.startswith(unknown)]
    return [*known, *(f'unknown field "{path}"' for path in checked.unknown)]


def strict_decoding(found: Sequence[str]) -> str:
    """What fieldValidation=Strict says of an object with `problems`."""
    lines = [text for text in found if text.startswith("line ")]  # go-yaml tells them together
    yaml = ["\n  ".join(["yaml: unmarshal errors:", *lines])] if lines else []
    rest = [text for text in found if not text.startswith("line ")]
    return f"strict decoding error: {', '.join(yaml + rest)}"


def undecodable(kind: Kind, why: str) -> ApiError:
    """The 400 for an object that is not one of `kind`."""
    message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'
    return ApiError("BadRequest", message)
