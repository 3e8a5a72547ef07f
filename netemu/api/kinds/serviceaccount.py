"""ServiceAccount: who a pod is to the API.

https://kubernetes.io/docs/concepts/security/service-accounts/
"""

from __future__ import annotations

from netemu.api.cells import AGE, NAME
from netemu.api.kind import Column, Kind

SERVICE_ACCOUNTS = Kind(
    plural="serviceaccounts",
    kind="ServiceAccount",
    short_names=("sa",),
    schema="io.k8s.api.core.v1.ServiceAccount",
    subresources=frozenset(("token",)),
    columns=(
        NAME,
        Column("Secrets", lambda obj, now: len(obj.get("secrets") or ()), type="integer"),
        AGE,
    ),
)
