"""Nodes that fall silent: their condition, their taints, and the pods that have to leave.

`plan` decides (pure); `monitor` watches leases and keeps conditions and taints; `eviction` deletes
pods that do not tolerate them; `orphans` removes pods whose node is gone for good.
https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
"""
