"""`netemu node add|delete|stop|start`: machines of a running cluster."""

from __future__ import annotations

import click

from netemu.cli.durations import DURATION
from netemu.cli.failures import CommandFailed
from netemu.cli.following import follow
from netemu.cli.lazy import Group
from netemu.cli.session import Command, Session, pass_session
from netemu.cli.settle import barrier
from netemu.cli.targets import Target
from netemu.config.cluster import PROXY_MODES

_timeout = click.option(
    "--timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long to wait until it is Ready.",
)


@click.group(cls=Group)
def node() -> None:
    """Add, delete, stop and start nodes while the cluster runs."""


@node.command(cls=Command)
@click.argument("name")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label.")
@click.option(
    "--proxy-mode", type=click.Choice(PROXY_MODES), default=None, help="Its own proxy mode."
)
@_timeout
@pass_session
def add(
    session: Session,
    /,
    name: str,
    labels: tuple[str, ...],
    proxy_mode: str | None,
    timeout: float,
) -> None:
    """Add a node and wait until it is Ready."""
    pairs = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if not equals:
            raise click.UsageError(f"--label: {label!r} is not KEY=VALUE")
        pairs[key] = value
    _ask(session, "node-add", name=name, labels=pairs, proxyMode=proxy_mode or "")
    _wait_ready(session, name, timeout)
    print(f"node/{name} added")


@node.command(cls=Command)
@click.argument("name")
@pass_session
def delete(session: Session, /, name: str) -> None:
    """Take a node out with all its pods."""
    _ask(session, "node-delete", name=name)
    barrier(session.api, timeout=60.0)
    print(f"node/{name} deleted")


@node.command(cls=Command)
@click.argument("name")
@pass_session
def stop(session: Session, /, name: str) -> None:
    """Pull a node's plug: to the cluster it is a dead machine."""
    _ask(session, "node-stop", name=name)
    print(f"node/{name} stopped")


@node.command(cls=Command)
@click.argument("name")
@_timeout
@pass_session
def start(session: Session, /, name: str, timeout: float) -> None:
    """Start a stopped node and wait until it is Ready."""
    _ask(session, "node-start", name=name)
    _wait_ready(session, name, timeout)
    print(f"node/{name} started")


def _ask(session: Session, op: str, **arguments: object) -> None:
    from netemu.cluster.control import ask

    ask(session.cluster, op, **arguments)


def _wait_ready(session: Session, name: str, timeout: float) -> None:
    target = Target(resource=session.discovery.find("nodes"), name=name)
    try:
        for obj in follow(session.api, target, timeout=timeout):
            conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
            if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
                break
    except TimeoutError:
        raise CommandFailed(
            f"node {name} is not Ready after {timeout:g} s", hint=f"netemu describe node {name}"
        ) from None
    barrier(session.api, timeout=60.0)
