"""CustomResourceDefinitions: the kind that makes kinds.

`kind_of` turns a definition into a Kind with everything that a built-in one has: pruning and
defaults by its schema, rules, columns, subresources.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from netemu.api.crd.kinds import kind_of

__all__ = ["kind_of"]
