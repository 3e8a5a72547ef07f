"""DaemonSet: one pod on every node that may run it.

`placement` which nodes; `plan` which pods to start and stop, also during an update; `controller`
acts. The first two are pure.
"""
