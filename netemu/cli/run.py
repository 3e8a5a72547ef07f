"""`netemu run`, `expose` and `set image`: the short ways to a pod, a Service, a new version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.api import STRATEGIC_MERGE_PATCH
from netemu.cli.create import Creator, create_one
from netemu.cli.creating import CreateCommand
from netemu.cli.failures import CommandFailed
from netemu.cli.lazy import Group
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import Target
from netemu.cli.writing import DRY_RUN_NOTES, report


@click.command(cls=CreateCommand)
@click.argument("name")
@click.argument("command", nargs=-1, metavar="[-- ARG…]")
@click.option("--image", required=True, help="The container's image.")
@click.option("--command", "is_command", is_flag=True, help="ARGs are the command itself.")
@click.option(
    "--restart",
    type=click.Choice(("Always", "OnFailure", "Never")),
    default="Always",
    help="What happens when it ends.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="The container's port.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable.")
@click.option("-l", "--labels", default="", metavar="KEY=VALUE,…", help="[default: run=NAME]")
@pass_session
def run(
    session: Session,
    /,
    name: str,
    command: tuple[str, ...],
    image: str,
    is_command: bool,
    restart: str,
    port: int | None,
    env: tuple[str, ...],
    labels: str,
    dry_run: str,
    form: str,
) -> None:
    """Create a pod of one image."""
    container: Object = {"name": name, "image": image}
    if command:
        container["command" if is_command else "args"] = list(command)
    if port:
        container["ports"] = [{"containerPort": port}]
    if env:
        pairs = (_pair(each, "--env") for each in env)
        container["env"] = [{"name": key, "value": value} for key, value in pairs]
    chosen = dict(_pair(each, "--labels") for each in labels.split(",") if each)
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": chosen or {"run": name}},
        "spec": {"containers": [container], "restartPolicy": restart},
    }
    create_one(session, obj, dry_run=dry_run, form=form)


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option}: {text!r} is not KEY=VALUE")
    return key, value


@click.command(cls=CreateCommand)
@click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME")
@click.option("--port", default=None, type=click.IntRange(1, 65535), help="The Service's port.")
@click.option("--target-port", default="", help="The pods' port.  [default: the same]")
@click.option("--name", default="", help="The Service's name.  [default: the workload's]")
@click.option("--protocol", type=click.Choice(("TCP", "UDP", "SCTP")), default="TCP")
@click.option(
    "--type", "kind", default="", type=click.Choice(("", "ClusterIP", "NodePort", "LoadBalancer"))
)
@click.option("--cluster-ip", default="", help="Its address; None: headless.")
@pass_session
def expose(
    session: Session,
    /,
    resources: tuple[str, ...],
    port: int | None,
    target_port: str,
    name: str,
    protocol: str,
    kind: str,
    cluster_ip: str,
    dry_run: str,
    form: str,
) -> None:
    """Create a Service over the pods of a workload."""
    target = targets.one(session.discovery, resources, session.namespace)
    live = session.api.get(target.path)
    number = port or _first_port(live)
    spec: Object = {
        "selector": _selector(target, live),
        "ports": [
            {
                "port": number,
                "protocol": protocol,
                "targetPort": int(target_port) if target_port.isdigit() else target_port or number,
            }
        ],
    }
    if kind:
        spec["type"] = kind
    if cluster_ip:
        spec["clusterIP"] = cluster_ip
    service = session.discovery.find("services")
    metadata: Object = {"name": name or target.name, "namespace": target.namespace}
    labels = live["metadata"].get("labels")
    if labels:
        metadata["labels"] = labels
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    place = Target(resource=service, namespace=target.namespace, name=metadata["name"])
    written = Creator(session, dry_run).send(place, obj)
    if form:
        report(written, form, dry_run)
    else:
        print(f"{place} exposed{DRY_RUN_NOTES[dry_run]}")


def _selector(target: Target, live: Object) -> dict[str, str]:
    """The labels that the workload's pods have; a pod's own ones."""
    spec = live.get("spec") or {}
    selector = spec.get("selector") or {}
    if target.resource.kind == "Pod":
        found = live["metadata"].get("labels") or {}
    elif target.resource.kind in ("Service", "ReplicationController"):
        found = selector
    else:
        found = selector.get("matchLabels") or {}
    if not found:
        raise CommandFailed(f"couldn't retrieve selectors: {target} has no labels to select by")
    labels: dict[str, str] = found
    return labels


def _first_port(live: Object) -> int:
    spec = live.get("spec") or {}
    pod: Any = (spec.get("template") or {}).get("spec") or spec
    for container in pod.get("containers") or ():
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    raise CommandFailed("couldn't find port via --port flag or introspection", hint="--port=80")


@click.group("set", cls=Group)
def set_() -> None:
    """Change one feature of objects."""


@set_.command(cls=ObjectCommand)
@click.argument("words", nargs=-1, required=True, metavar="TYPE/NAME… CONTAINER=IMAGE…")
@pass_session
def image(session: Session, /, words: tuple[str, ...]) -> None:
    """Change images; `*=IMAGE` stands for all containers."""
    chosen = dict(_pair(word, "CONTAINER=IMAGE") for word in words if "=" in word)
    resources = [word for word in words if "=" not in word]
    if not chosen:
        raise click.UsageError("at least one image update is required")
    for target in targets.named(session.discovery, resources, session.namespace):
        live = session.api.get(target.path)
        patch = _image_patch(target, live, chosen)
        after = session.api.patch(target.path, patch, kind=STRATEGIC_MERGE_PATCH)
        if after["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            print(f"{target} image updated")


def _image_patch(target: Target, live: Object, chosen: dict[str, str]) -> Object:
    bare = target.resource.kind == "Pod"
    spec = live["spec"] if bare else live["spec"]["template"]["spec"]
    patch: Object = {}
    found: set[str] = set()
    for kind in ("initContainers", "containers"):
        names: Sequence[str] = [container["name"] for container in spec.get(kind) or ()]
        changed = [
            {"name": name, "image": chosen[name if name in chosen else "*"]}
            for name in names
            if name in chosen or "*" in chosen
        ]
        found |= {each["name"] for each in changed}
        if changed:
            patch[kind] = changed
    missing = chosen.keys() - found - {"*"}
    if missing:
        raise CommandFailed(f'unable to find container named "{min(missing)}"')
    return {"spec": patch} if bare else {"spec": {"template": {"spec": patch}}}
