"""Role, ClusterRole, RoleBinding, ClusterRoleBinding: one idea, so one file.

What they allow is `api/rbac/`.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from typing import Any

from netemu.api import names
from netemu.api.cells import AGE, CREATED, NAME
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.labelrules import check_label_selector

GROUP = "rbac.authorization.k8s.io"


def _check_rules(obj: Object, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        causes += _check_rule(rule, f"rules[{index}]", namespaced=namespaced)
    return causes


def _check_rule(rule: Object, path: str, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    if not rule.get("verbs"):
        causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        where = f"{path}.nonResourceURLs"
        if namespaced:
            message = "namespaced rules cannot apply to non-resource URLs"
            causes.append(invalid(where, urls, message))
        if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
            message = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(invalid(where, urls, message))
        return causes
    if not rule.get("apiGroups"):
        message = "resource rules must supply at least one api group"
        causes.append(required(f"{path}.apiGroups", message))
    if not rule.get("resources"):
        message = "resource rules must supply at least one resource"
        causes.append(required(f"{path}.resources", message))
    return causes


def _validate_role(obj: Object, old: Object | None) -> list[Cause]:
    return _check_rules(obj, namespaced=True)


def _validate_cluster_role(obj: Object, old: Object | None) -> list[Cause]:
    causes = _check_rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return causes
    where = "aggregationRule.clusterRoleSelectors"
    if not aggregation.get("clusterRoleSelectors"):
        message = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        causes.append(required(where, message))
    for index, selector in enumerate(aggregation.get("clusterRoleSelectors") or ()):
        causes += check_label_selector(selector, f"{where}[{index}]")
    return causes


def _default_binding(obj: Object) -> None:
    reference = obj.get("roleRef")
    if reference is not None and not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def _check_binding(obj: Object, old: Object | None, *, namespaced: bool) -> list[Cause]:
    reference = obj.get("roleRef") or {}
    causes: list[Cause] = []
    if reference.get("apiGroup") != GROUP:
        causes.append(not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", (GROUP,)))
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        causes.append(not_supported("roleRef.kind", reference.get("kind") or "", kinds))
    name = reference.get("name")
    if not name:
        causes.append(required("roleRef.name"))
    else:
        causes += [invalid("roleRef.name", name, why) for why in names.path_segment(name)]
    for index, subject in enumerate(obj.get("subjects") or ()):
        causes += _check_subject(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None and old.get("roleRef") != obj.get("roleRef"):
        causes.append(invalid("roleRef", reference, "cannot change roleRef"))
    return causes


def _check_subject(subject: Object, path: str, *, namespaced: bool) -> list[Cause]:
    kind, name, group = (subject.get(key) or "" for key in ("kind", "name", "apiGroup"))
    causes = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            causes += [invalid(f"{path}.name", name, why) for why in names.dns1123_subdomain(name)]
        if group:
            causes.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            causes.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        causes.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return causes


def _role(obj: Object, now: float) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


def _subjects(kind: str) -> Column:
    def cell(obj: Object, now: float) -> str:
        found: list[Any] = [
            subject for subject in obj.get("subjects") or () if subject.get("kind") == kind
        ]
        return ", ".join(
            f"{subject.get('namespace', '')}/{subject.get('name')}"
            if kind == "ServiceAccount"
            else str(subject.get("name"))
            for subject in found
        )

    return Column(f"{kind}s", cell, priority=1)


_BINDING_COLUMNS = (
    NAME,
    Column("Role", _role),
    AGE,
    _subjects("User"),
    _subjects("Group"),
    _subjects("ServiceAccount"),
)

ROLES = Kind(
    group=GROUP,
    plural="roles",
    kind="Role",
    schema="io.k8s.api.rbac.v1.Role",
    name_rule="path-segment",
    validate=_validate_role,
    columns=(NAME, CREATED),
)
CLUSTER_ROLES = Kind(
    group=GROUP,
    plural="clusterroles",
    kind="ClusterRole",
    namespaced=False,
    schema="io.k8s.api.rbac.v1.ClusterRole",
    name_rule="path-segment",
    validate=_validate_cluster_role,
    columns=(NAME, CREATED),
)
ROLE_BINDINGS = Kind(
    group=GROUP,
    plural="rolebindings",
    kind="RoleBinding",
    schema="io.k8s.api.rbac.v1.RoleBinding",
    name_rule="path-segment",
    default=_default_binding,
    validate=lambda obj, old: _check_binding(obj, old, namespaced=True),
    columns=_BINDING_COLUMNS,
)
CLUSTER_ROLE_BINDINGS = Kind(
    group=GROUP,
    plural="clusterrolebindings",
    kind="ClusterRoleBinding",
    namespaced=False,
    schema="io.k8s.api.rbac.v1.ClusterRoleBinding",
    name_rule="path-segment",
    default=_default_binding,
    validate=lambda obj, old: _check_binding(obj, old, namespaced=False),
    columns=_BINDING_COLUMNS,
)
