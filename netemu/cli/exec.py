"""`netemu exec`: a command in a pod's container, or in a node's or outside host's network.

In a pod it runs through the node's supervisor, which is handed this terminal's own descriptors; so
the bytes go no detour, and the command's exit code is ours.
"""

from __future__ import annotations

import click

from netemu.api.resource import Object
from netemu.cli.failures import CommandFailed
from netemu.cli.podtargets import container_of, one_pod
from netemu.cli.session import RUN_ROOT, ObjectCommand, Session, pass_session

MACHINES = ("node/", "nodes/", "host/", "hosts/")


@click.command("exec", cls=ObjectCommand)
@click.argument("resource", metavar="POD | TYPE/NAME | node/NAME | host/NAME")
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND [ARG…]")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@pass_session
def exec_(
    session: Session,
    /,
    resource: str,
    command: tuple[str, ...],
    container: str,
    stdin: bool,
    tty: bool,
) -> int:
    """Run a command in a pod, a node or an outside host."""
    if resource.startswith(MACHINES):
        from netemu.cli.machines import enter_and_run

        kind, _, name = resource.partition("/")
        return enter_and_run(session.cluster, kind, name, command)
    from netemu.cli.supervised import run_in_container

    pod = one_pod(session, resource)
    name = container_of(pod, container)
    socket = f"{RUN_ROOT}/{session.cluster}/nodes/{pod['spec'].get('nodeName')}/supervisor.sock"
    return run_in_container(socket, _container_id(pod, name), command, stdin=stdin, tty=tty)


def _container_id(pod: Object, container: str) -> str:
    """The runtime's name of the container, from the pod's status."""
    status = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    for each in (each for kind in kinds for each in status.get(kind) or ()):
        if each["name"] == container:
            if "running" in (each.get("state") or {}):
                return str(each.get("containerID", "")).partition("://")[2]
            state = next(iter(each.get("state") or {}), "waiting")
            raise CommandFailed(
                f"container {container} of pod {pod['metadata']['name']} is not running: {state}",
                hint=f"netemu describe pod {pod['metadata']['name']}"
                f" -n {pod['metadata']['namespace']}",
            )
    raise CommandFailed(
        f"pod {pod['metadata']['name']} does not have a host assigned"
        if not pod["spec"].get("nodeName")
        else f"container {container} of pod {pod['metadata']['name']} has not started yet"
    )
