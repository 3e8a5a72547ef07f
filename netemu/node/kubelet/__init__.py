"""The agent that runs a node's pods: from PodSpecs to processes, and from those to status.

    informer → worker (one a pod) → plan → network · runtime · volumes → status, events
                                             │
                                             └ supervisor (processes) · standins (sockets)

`plan`, `status`, `environment` and `dnsconfig` are pure; what touches the node is beside them.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""
