"""Who a request comes from.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MASTERS = "system:masters"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        return MASTERS in self.groups


ADMIN = User(name="system:admin", groups=(MASTERS, AUTHENTICATED))
"""Whoever may open the root-only unix socket, and components in this process."""
ANONYMOUS = User(name="system:anonymous", groups=(UNAUTHENTICATED,))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            AUTHENTICATED,
        ),
        uid=uid,
    )
