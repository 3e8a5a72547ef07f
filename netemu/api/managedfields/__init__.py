"""Server-side apply: who owns which field, and what that means when somebody changes it.

`update` keeps the books for creates, puts and patches; `apply` merges an applied configuration.
Both work on `metadata.managedFields` in its own form (FieldsV1): nothing is converted.

A server may leave the books alone for writers that nobody will ever contend with (its own
controllers): `carry` copies them from the live object at no cost. Fields that such a writer changes
stay with their earlier owners.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
https://github.com/kubernetes-sigs/structured-merge-diff
"""

from netemu.api.managedfields.apply import apply
from netemu.api.managedfields.books import carry, update

__all__ = ["apply", "carry", "update"]
