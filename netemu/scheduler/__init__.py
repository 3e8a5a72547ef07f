"""Which node runs a pod: filters and scores are pure, `scheduler` is the loop around them.

`model` what is looked at; `filters/` where a pod may run, one question a file; `scores` where it
runs best; `preemption` who has to go; `explain` why it cannot run; `cache` and `queue` keep state.
https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""
