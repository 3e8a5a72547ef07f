"""Kinds that are asked and answered but never stored: access, token and self reviews, bindings.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import CREATE_ONLY, Cause, Kind, Object

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


def _check_attributes(spec: Object) -> list[Cause]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        message = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", other, message)]
    if resource is None and other is None:
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, message)]
    return []


def _validate_self(obj: Object, old: Object | None) -> list[Cause]:
    return _check_attributes(obj.get("spec") or {})


def _validate_subject(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _check_attributes(spec)
    if not spec.get("user") and not spec.get("groups"):
        message = "at least one of user or group must be specified"
        causes.append(invalid("spec.user", "", message))
    return causes


def _validate_token(obj: Object, old: Object | None) -> list[Cause]:
    return [] if (obj.get("spec") or {}).get("token") else [required("spec.token")]


def _validate_binding(obj: Object, old: Object | None) -> list[Cause]:
    target = obj.get("target") or {}
    causes: list[Cause] = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    return causes if target.get("name") else [*causes, required("target.name")]


def _review(group: str, kind: str, **more: object) -> Kind:
    made: dict[str, object] = {
        "group": group,
        "version": "v1",
        "plural": f"{kind.lower()}s",
        "kind": kind,
        "namespaced": False,
        "singular": kind.lower(),
        "schema": f"io.k8s.api.{group.partition('.')[0]}.v1.{kind}",
        "verbs": CREATE_ONLY,
        "name_rule": "any",
        **more,
    }
    return Kind(**made)  # type: ignore[arg-type]


TOKEN_REVIEWS = _review(AUTHENTICATION, "TokenReview", validate=_validate_token)
SELF_SUBJECT_REVIEWS = _review(AUTHENTICATION, "SelfSubjectReview")
SUBJECT_ACCESS_REVIEWS = _review(AUTHORIZATION, "SubjectAccessReview", validate=_validate_subject)
SELF_SUBJECT_ACCESS_REVIEWS = _review(
    AUTHORIZATION, "SelfSubjectAccessReview", validate=_validate_self
)
SELF_SUBJECT_RULES_REVIEWS = _review(AUTHORIZATION, "SelfSubjectRulesReview")
LOCAL_SUBJECT_ACCESS_REVIEWS = _review(
    AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True, validate=_validate_subject
)
BINDINGS = Kind(
    plural="bindings",
    kind="Binding",
    schema="io.k8s.api.core.v1.Binding",
    verbs=CREATE_ONLY,
    validate=_validate_binding,
)
