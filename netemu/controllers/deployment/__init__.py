"""Deployment: a history of ReplicaSets, and the way from one to the next.

`revisions` which ReplicaSet is the new one, and what its history says; `rollout` how many replicas
each may have next; `scaling` how a change of size is shared; `status` what to tell; `controller`
acts. The first four are pure.
"""
