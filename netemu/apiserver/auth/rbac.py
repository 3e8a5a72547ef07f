"""Role based access control: does any role bound to this user allow that request?

Pure: roles and bindings come in as objects.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from netemu.api.kind import Object
from netemu.apiserver.auth.user import User

ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked for. `resource` empty: a path that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Roles:
    """Where roles and bindings are looked up; `namespace` empty: the cluster's."""

    def __init__(
        self,
        bindings: Callable[[str], Iterable[Object]],
        role: Callable[[str, str], Object | None],
    ) -> None:
        """`bindings(namespace)`; `role(namespace, name)`, a ClusterRole when namespace is ''."""
        self._bindings, self._role = bindings, role

    def allow(self, user: User, asked: Attributes) -> bool:
        if user.is_master:
            return True
        return any(rule_allows(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """All rules that hold for `user` in a namespace (or in the whole cluster only)."""
        for scope in ("", namespace) if namespace else ("",):
            for binding in self._bindings(scope):
                if any(
                    subject_is(subject, user, scope) for subject in binding.get("subjects") or ()
                ):
                    yield from self._rules_of(binding, scope)

    def _rules_of(self, binding: Object, scope: str) -> Sequence[Object]:
        reference = binding.get("roleRef") or {}
        inside = scope if reference.get("kind") == "Role" else ""
        role = self._role(inside, reference.get("name", ""))
        return (role or {}).get("rules") or ()


def subject_is(subject: Object, user: User, scope: str) -> bool:
    """Whether a binding's subject means this user."""
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "User":
        return name == user.name
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        namespace = subject.get("namespace") or scope
        return user.name == f"system:serviceaccount:{namespace}:{name}"
    return False


def rule_allows(rule: Object, asked: Attributes) -> bool:
    if not _has(rule.get("verbs"), asked.verb):
        return False
    if not asked.resource:
        return any(path_matches(p, asked.path) for p in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        _has(rule.get("apiGroups"), asked.group)
        and _has_resource(rule.get("resources") or (), asked)
        and (not names or asked.name in names)
    )


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and (ALL in values or wanted in values)


def _has_resource(resources: Sequence[str], asked: Attributes) -> bool:
    if ALL in resources:
        return True
    if not asked.subresource:
        return asked.resource in resources
    full = f"{asked.resource}/{asked.subresource}"
    return full in resources or f"*/{asked.subresource}" in resources


def path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith(ALL):
        return path.startswith(pattern[:-1])
    return pattern in (path, path.rstrip("/"))
