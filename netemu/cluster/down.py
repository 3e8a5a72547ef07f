"""`netemu down` and `netemu clean`: remove exactly what a cluster owns, from any state.

The daemon is asked to end first, so that it does not restore what goes. All else is in the ledger,
which does not need the daemon; so it makes no difference how the daemon ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from netemu.cluster import state
from netemu.config import ClusterConfig
from netemu.errors import NetemuError
from netemu.node import cleanup, processes

DAEMON_GRACE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownReport:
    """What was removed, by kind, and what is left (nothing, unless something failed)."""

    name: str
    removed: dict[str, int]
    left: tuple[str, ...]
    etcd: str = ""
    """What became of the objects in an etcd that others may share."""


def down(name: str, *, keep_data: bool = False, purge: bool = False) -> DownReport:
    """Take cluster `name` away, or the data that an earlier `down` kept.

    `keep_data` keeps the store and the volumes for the next `up`. NoSuchCluster when there is
    nothing of it.

    In an etcd, objects stay, apart from this machine's Nodes and their pods. `purge` removes those
    as well; MembershipError, and nothing is touched, while other members use them.
    """
    kept = not keep_data and ClusterConfig(name=name).data_dir.is_dir()
    if name not in state.clusters() and not kept:
        raise state.NoSuchCluster(name)
    with state.lock(name):
        config = _settings(name)
        if purge and config.etcd.servers:
            from netemu.cluster.membership import require_alone  # see _leave

            require_alone(config)
        return remove(config, keep_data=keep_data, purge=purge)


def _settings(name: str) -> ClusterConfig:
    """What it was made with, or as much of it as a broken file leaves: removal needs the name."""
    try:
        return state.load_config(name)
    except NetemuError:
        return ClusterConfig(name=name)


def remove(config: ClusterConfig, *, keep_data: bool, purge: bool = False) -> DownReport:
    """The same under a lock that the caller holds."""
    running = state.daemon(config.name)
    if running is not None and keep_data:
        processes.end([running], grace=DAEMON_GRACE)
    elif running is not None:  # nothing of what it would put in order is going to be kept
        processes.kill([running])
    etcd = _leave(config, keep_data=keep_data, purge=purge)
    if keep_data:
        state.keep_config(config)
    report = cleanup.clean(config.run_dir, data_dir=None if keep_data else config.data_dir)
    state.forget(config)
    return DownReport(name=config.name, removed=report.removed, left=tuple(report.left), etcd=etcd)


def _leave(config: ClusterConfig, *, keep_data: bool, purge: bool) -> str:
    """What became of an etcd's objects; most clusters need not load what speaks to one (0.2 s)."""
    if not config.etcd.servers:
        return ""
    from netemu.cluster.membership import leave

    return leave(config, keep_data=keep_data, purge=purge)


def clean(*, dry_run: bool = False) -> list[DownReport]:
    """Remove every cluster whose daemon is gone; running ones are left alone."""
    reports = []
    for name in state.clusters():
        if state.daemon(name) is not None:
            continue
        if dry_run:
            listed = cleanup.plan(state.RUN_ROOT / name)
            reports.append(DownReport(name=name, removed={}, left=tuple(listed)))
        else:
            reports.append(down(name))
    if not dry_run:
        state.forget(ClusterConfig())  # what a `down` that was killed at its very end left empty
    return reports
