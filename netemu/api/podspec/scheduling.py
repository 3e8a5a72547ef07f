"""Rules for affinity, tolerations and topology spread.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from typing import Any

from netemu.api import names
from netemu.api.invalid import duplicate, forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.labelrules import check_label_selector

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def check_tolerations(tolerations: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, toleration in enumerate(tolerations):
        causes += _check_toleration(toleration, f"{path}[{index}]")
    return causes


def _check_toleration(toleration: Object, path: str) -> list[Cause]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    causes: list[Cause] = []
    if key:
        causes += [invalid(f"{path}.key", key, why) for why in names.qualified_name(key)]
    elif operator != "Exists":
        message = (
            "operator must be Exists when `key` is empty, which means "
            '"match all values and all keys"'
        )
        causes.append(invalid(f"{path}.operator", operator, message))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        message = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid(f"{path}.effect", effect, message))
    if operator in ("", "Equal"):
        wrong = names.label_value(value)
        causes += [invalid(f"{path}.operator", value, ";".join(wrong))] if wrong else []
    elif operator == "Exists":
        if value:
            message = "value must be empty when `operator` is 'Exists'"
            causes.append(invalid(f"{path}.operator", toleration, message))
    else:
        causes.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in TAINT_EFFECTS:
        causes.append(not_supported(f"{path}.effect", effect, TAINT_EFFECTS))
    return causes


def check_affinity(affinity: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    node = affinity.get("nodeAffinity") or {}
    if node.get(_REQUIRED) is not None:
        where = f"{path}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
        terms = node[_REQUIRED].get("nodeSelectorTerms") or []
        if not terms:
            message = "must have at least one node selector term"
            causes.append(required(where, message))
        for index, term in enumerate(terms):
            causes += check_node_term(term, f"{where}[{index}]")
    for index, preferred in enumerate(node.get(_PREFERRED) or ()):
        where = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        causes += _check_weight(preferred, where)
        causes += check_node_term(preferred.get("preference") or {}, f"{where}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        causes += _check_pod_affinity(affinity.get(kind) or {}, f"{path}.{kind}")
    return causes


def _check_weight(preferred: Object, path: str) -> list[Cause]:
    weight = preferred.get("weight") or 0
    return (
        []
        if 1 <= weight <= 100
        else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]
    )


def check_node_term(term: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for group in ("matchExpressions", "matchFields"):
        for index, requirement in enumerate(term.get(group) or ()):
            causes += _check_node_requirement(requirement, f"{path}.{group}[{index}]", group)
    return causes


def _check_node_requirement(requirement: Object, path: str, group: str) -> list[Cause]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    key = requirement.get("key") or ""
    causes: list[Cause] = []
    if operator in ("In", "NotIn"):
        if not values:
            message = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", message))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{path}.values", message))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required(f"{path}.values", message))
    else:
        causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    if group == "matchFields":
        if key != "metadata.name":
            causes.append(invalid(f"{path}.key", key, "not a valid field selector key"))
    else:
        causes += [invalid(f"{path}.key", key, why) for why in names.qualified_name(key)]
    return causes


def _check_pod_affinity(affinity: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        causes += _check_pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        causes += _check_weight(preferred, where)
        causes += _check_pod_term(
            preferred.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm"
        )
    return causes


def _check_pod_term(term: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for selector in ("labelSelector", "namespaceSelector"):
        if term.get(selector) is not None:
            causes += check_label_selector(term[selector], f"{path}.{selector}")
    for index, space in enumerate(term.get("namespaces") or ()):
        wrong = names.dns1123_label(space)
        causes += [invalid(f"{path}.namespaces[{index}]", space, why) for why in wrong]
    key = term.get("topologyKey") or ""
    if not key:
        causes.append(required(f"{path}.topologyKey", "can not be empty"))
    wrong = names.qualified_name(key)
    return causes + [invalid(f"{path}.topologyKey", key, why) for why in wrong]


def check_spread(constraints: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
        action = constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            causes.append(invalid(f"{where}.maxSkew", skew, "must be greater than zero"))
        if not key:
            causes.append(required(f"{where}.topologyKey", "can not be empty"))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = ("DoNotSchedule", "ScheduleAnyway")
            causes.append(not_supported(f"{where}.whenUnsatisfiable", action, supported))
        if (key, action) in seen:
            shown = f"{{{key}, {action}}}"
            causes.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", shown))
        seen.add((key, action))
        if constraint.get("labelSelector") is not None:
            causes += check_label_selector(constraint["labelSelector"], f"{where}.labelSelector")
    return causes
