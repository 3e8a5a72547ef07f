"""What makes an object invalid, in Kubernetes' own words.

Clients and tests match these texts, so they are made here and nowhere else. A message is what
`field.Error.ErrorBody()` gives; `describe` joins them as `Status.message` has them.

https://github.com/kubernetes/apimachinery/blob/master/pkg/util/validation/field/errors.go
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from netemu.api.kind import Cause
from netemu.errors import ApiError


def show(value: Any) -> str:
    """A value as Go prints it in an error: strings quoted, the rest as JSON."""
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> Cause:
    return _cause(field, "FieldValueRequired", "Required value", detail)


def invalid(field: str, value: Any, detail: str) -> Cause:
    return _cause(field, "FieldValueInvalid", f"Invalid value: {show(value)}", detail)


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    return _cause(field, "FieldValueTypeInvalid", f"Invalid value: {show(value)}", detail)


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {show(value)}")


def forbidden(field: str, detail: str) -> Cause:
    return _cause(field, "FieldValueForbidden", "Forbidden", detail)


def not_found(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueNotFound", f"Not found: {show(value)}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """`supported` in the order in which the real server lists them; a set is sorted."""
    listed = sorted(supported) if isinstance(supported, (set, frozenset)) else supported
    words = ", ".join(show(word) for word in listed)
    return Cause(
        field,
        "FieldValueNotSupported",
        f"Unsupported value: {show(value)}" + (f": supported values: {words}" if words else ""),
    )


def too_long(field: str, limit: int) -> Cause:
    message = f"Too long: may not be more than {limit} bytes"
    return Cause(field, "FieldValueTooLong", message)


def too_many(field: str, count: int, limit: int) -> Cause:
    items = "item" if limit == 1 else "items"
    message = f"Too many: {count}: must have at most {limit} {items}"
    return Cause(field, "FieldValueTooMany", message)


def _cause(field: str, reason: str, body: str, detail: str) -> Cause:
    return Cause(field, reason, f"{body}: {detail}" if detail else body)


def describe(causes: Sequence[Cause]) -> str:
    """One cause as it is; several as Go's aggregate: `[a: …, b: …]`, each text once."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def error(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """The 422 `Invalid` status for an object whose validation gave `causes`."""
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name} if name else {}
    details |= {"group": group} if group else {}
    details |= {
        "kind": kind,
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in causes
        ],
    }
    message = f"{qualified} {show(name)} is invalid: {describe(causes)}"
    return ApiError("Invalid", message, details=details)
