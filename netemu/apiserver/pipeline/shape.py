"""Has an object the fields and types of its kind? What `fieldValidation` says decides.

https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

from collections.abc import Callable

from netemu.api import schema
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Options
from netemu.errors import ApiError

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


Refusal = Callable[[Kind, Object, str], ApiError]
"""The error for an object with something wrong in it; the text says what."""


def undecodable(kind: Kind, _obj: Object, why: str) -> ApiError:
    """BadRequest, for an object as a client sent it."""
    return schema.undecodable(kind, why)


def check_shape(
    kind: Kind, obj: Object, options: Options, refused: Refusal = undecodable
) -> Object:
    """The object to go on with; without `field_validation` it is trusted as it is.

    Raises `refused` for wrong types, and for unknown or repeated fields when Strict.
    """
    if not options.field_validation:
        return obj
    checked = schema.check(kind, obj)
    if checked.errors:
        raise refused(kind, obj, checked.errors[0])
    if options.field_validation == IGNORE or not (checked.unknown or options.duplicates):
        return checked.clean
    problems = schema.problems(kind, checked, options.duplicates)
    if options.field_validation == STRICT:
        raise refused(kind, obj, schema.strict_decoding(problems))
    options.warnings.extend(problems)
    return checked.clean


def complete(kind: Kind, obj: Object) -> None:
    """Give a built-in kind its `spec`, even an empty one: upstream's are structs, not pointers.

    So whoever reads objects, our controllers and others', may count on it.
    """
    if "spec" in obj or kind.open_api is not None:
        return
    field = schema.of_kind(kind).fields.get("spec")
    if field is not None and field.shape == "struct":
        obj["spec"] = {}


def field_validation(asked: str) -> str:
    """The query parameter with its default; ApiError when it is none of the three."""
    if asked in ("", STRICT, WARN, IGNORE):
        return asked or WARN
    message = f'fieldValidation: Unsupported value: "{asked}"'
    raise ApiError("Invalid", f'{message}: supported values: "Ignore", "Strict", "Warn"')
