"""`netemu cordon`, `uncordon` and `drain`.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

import sys

import click

from netemu.cli import targets
from netemu.cli.durations import DURATION, WEEK
from netemu.cli.failures import CommandFailed
from netemu.cli.session import Command, Session, pass_session
from netemu.cli.targets import Target

_nodes = click.argument("nodes", nargs=-1, metavar="NODE…")
_selector = click.option("-l", "--selector", "labels", default="", help="Nodes by label.")


@click.command(cls=Command)
@_nodes
@_selector
@pass_session
def cordon(session: Session, /, nodes: tuple[str, ...], labels: str) -> None:
    """Let no new pod onto a node."""
    for node in node_targets(session, nodes, labels):
        set_unschedulable(session, node, True)


@click.command(cls=Command)
@_nodes
@_selector
@pass_session
def uncordon(session: Session, /, nodes: tuple[str, ...], labels: str) -> None:
    """Let pods onto a node again."""
    for node in node_targets(session, nodes, labels):
        set_unschedulable(session, node, False)


@click.command(cls=Command)
@_nodes
@_selector
@click.option("--ignore-daemonsets", is_flag=True, help="Leave DaemonSets' pods.")
@click.option("--delete-emptydir-data", is_flag=True, help="Pods' emptyDir data may be lost.")
@click.option("--force", is_flag=True, help="Also pods that no controller will replace.")
@click.option("--grace-period", type=int, default=-1, help="Seconds; -1: the pods' own.")
@click.option("--disable-eviction", is_flag=True, help="Delete; disregard disruption budgets.")
@click.option("--timeout", type=DURATION, default="0", help="How long to go on; 0: very long.")
@click.option("--pod-selector", default="", help="Only these pods.")
@pass_session
def drain(
    session: Session,
    /,
    nodes: tuple[str, ...],
    labels: str,
    ignore_daemonsets: bool,
    delete_emptydir_data: bool,
    force: bool,
    grace_period: int,
    disable_eviction: bool,
    timeout: float,
    pod_selector: str,
) -> None:
    """Evict the pods of a node, as before maintenance; disruption budgets are kept."""
    from netemu.cli.draining import Drain, drain_node

    rules = Drain(
        ignore_daemon_sets=ignore_daemonsets,
        delete_empty_dir=delete_emptydir_data,
        force=force,
        grace_period=grace_period,
        evict=not disable_eviction,
        timeout=timeout or WEEK,
        pod_selector=pod_selector,
    )
    chosen = node_targets(session, nodes, labels)
    for node in chosen:
        set_unschedulable(session, node, True)
    failed = [node.name for node in chosen if not drain_node(session, node, rules)]
    if failed:
        print("There are pending nodes to be drained:", file=sys.stderr)
        raise CommandFailed(f"not drained: {', '.join(failed)}")


def node_targets(session: Session, names: tuple[str, ...], labels: str) -> list[Target]:
    resource = session.discovery.find("nodes")
    words = [name.removeprefix("node/").removeprefix("nodes/") for name in names]
    if labels:
        everything = Target(resource=resource)
        items = targets.objects(session.api, everything, labels=labels)
        words += [item["metadata"]["name"] for item in items]
    if not words:
        raise click.UsageError("name a node, or select nodes with -l")
    return [Target(resource=resource, name=word) for word in words]


def set_unschedulable(session: Session, node: Target, value: bool) -> None:
    live = session.api.get(node.path)
    now = bool((live.get("spec") or {}).get("unschedulable"))
    verb = "cordoned" if value else "uncordoned"
    if now == value:
        print(f"{node} already {verb}")
        return
    session.api.patch(node.path, {"spec": {"unschedulable": value or None}})
    print(f"{node} {verb}")
