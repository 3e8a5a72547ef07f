"""`netemu create service clusterip|nodeport|loadbalancer|externalname`."""

from __future__ import annotations

import click

from netemu.api.resource import Object
from netemu.cli.create import create_one
from netemu.cli.creating import CreateCommand
from netemu.cli.lazy import Group
from netemu.cli.session import Session, pass_session


@click.group(cls=Group)
def service() -> None:
    """Create a Service that selects app=NAME."""


@service.command(cls=CreateCommand)
@click.argument("name")
@click.option("--tcp", multiple=True, metavar="PORT[:TARGET]", help="A port.")
@click.option("--clusterip", "cluster_ip", default="", help="Its address; None: headless.")
@pass_session
def clusterip(
    session: Session, /, name: str, tcp: tuple[str, ...], cluster_ip: str, dry_run: str, form: str
) -> None:
    """Reached from inside the cluster."""
    obj = _service(name, "ClusterIP", tcp)
    if cluster_ip:
        obj["spec"]["clusterIP"] = cluster_ip
    if not tcp and cluster_ip != "None":
        raise click.UsageError("at least one --tcp port must be specified")
    create_one(session, obj, dry_run=dry_run, form=form)


@service.command(cls=CreateCommand)
@click.argument("name")
@click.option("--tcp", multiple=True, required=True, metavar="PORT[:TARGET]", help="A port.")
@click.option("--node-port", type=int, default=0, help="The port on the nodes; 0: any.")
@pass_session
def nodeport(
    session: Session, /, name: str, tcp: tuple[str, ...], node_port: int, dry_run: str, form: str
) -> None:
    """Reached through a port of every node."""
    obj = _service(name, "NodePort", tcp)
    if node_port:
        obj["spec"]["ports"][0]["nodePort"] = node_port
    create_one(session, obj, dry_run=dry_run, form=form)


@service.command(cls=CreateCommand)
@click.argument("name")
@click.option("--tcp", multiple=True, required=True, metavar="PORT[:TARGET]", help="A port.")
@pass_session
def loadbalancer(
    session: Session, /, name: str, tcp: tuple[str, ...], dry_run: str, form: str
) -> None:
    """Reached through an address of its own."""
    create_one(session, _service(name, "LoadBalancer", tcp), dry_run=dry_run, form=form)


@service.command(cls=CreateCommand)
@click.argument("name")
@click.option("--external-name", required=True, help="The DNS name that it stands for.")
@click.option("--tcp", multiple=True, metavar="PORT[:TARGET]", help="A port.")
@pass_session
def externalname(
    session: Session,
    /,
    name: str,
    external_name: str,
    tcp: tuple[str, ...],
    dry_run: str,
    form: str,
) -> None:
    """A name in the cluster for a name outside."""
    obj = _service(name, "ExternalName", tcp)
    obj["spec"]["externalName"] = external_name
    create_one(session, obj, dry_run=dry_run, form=form)


def _service(name: str, kind: str, ports: tuple[str, ...]) -> Object:
    spec: Object = {"type": kind, "selector": {"app": name}}
    if ports:
        spec["ports"] = [_port(text) for text in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


def _port(text: str) -> Object:
    port, _, target = text.partition(":")
    if not port.isdigit():
        raise click.UsageError(f"--tcp: {text!r} is not PORT or PORT:TARGET")
    return {
        "name": f"{port}-{target}" if target else port,
        "protocol": "TCP",
        "port": int(port),
        "targetPort": int(target) if target.isdigit() else target or int(port),
    }
