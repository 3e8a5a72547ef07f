"""Rules for labels and for LabelSelector objects.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

from __future__ import annotations

from collections.abc import Mapping

from netemu.api import names
from netemu.api.invalid import forbidden, invalid, required
from netemu.api.kind import Cause, Object


def check_labels(labels: Mapping[str, str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in labels.items():
        wrong_key, wrong_value = names.qualified_name(key), names.label_value(value)
        if wrong_key:
            causes += [invalid(path, key, why) for why in wrong_key]
        if wrong_value:
            causes += [invalid(path, value, why) for why in wrong_value]
    return causes


def check_label_selector(selector: Object, path: str) -> list[Cause]:
    causes = check_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator"), expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                message = "must be specified when `operator` is 'In' or 'NotIn'"
                causes.append(required(f"{where}.values", message))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                causes.append(forbidden(f"{where}.values", message))
        else:
            message = "not a valid selector operator"
            causes.append(invalid(f"{where}.operator", operator or "", message))
        key = expression.get("key") or ""
        causes += [invalid(f"{where}.key", key, why) for why in names.qualified_name(key)]
        for at, value in enumerate(values):
            wrong = names.label_value(value)
            causes += [invalid(f"{where}.values[{at}]", value, why) for why in wrong]
    return causes


def is_empty_selector(selector: Object | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))
