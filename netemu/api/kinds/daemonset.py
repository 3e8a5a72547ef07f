"""DaemonSet."""

from netemu.api.kind import Kind

DAEMON_SETS = Kind(
    group="apps", version="v1", plural="daemonsets", kind="DaemonSet", namespaced=True
)
