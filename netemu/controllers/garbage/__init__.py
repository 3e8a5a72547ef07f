"""The garbage collector: what belongs to a deleted owner goes, in the way that was asked for.

`graph` who owns whom; `plan` what to do with one object (pure); `controller` acts.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""
