"""The kinds that `netemu create` makes from flags."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import click

from netemu.api.resource import Object
from netemu.cli import options
from netemu.cli.create import create_one, literals
from netemu.cli.session import ObjectCommand, Session, pass_session

_Command = Callable[..., None]


class CreateCommand(ObjectCommand):
    """With `--dry-run` and `-o`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options.dry_run("Only say what would be created.")(self)
        options.output("Print the object: yaml, json, name.")(self)


def pod_template(app: str, image: str, command: tuple[str, ...], restart: str = "") -> Object:
    """One container, named after its image as kubectl does."""
    container: Object = {
        "name": image.rpartition("/")[2].split(":")[0].split("@")[0],
        "image": image,
    }
    if command:
        container["command"] = list(command)
    spec: Object = {"containers": [container]}
    if restart:
        spec["restartPolicy"] = restart
    return {"metadata": {"labels": {"app": app}}, "spec": spec} if app else {"spec": spec}


@click.command(cls=CreateCommand)
@click.argument("name")
@pass_session
def namespace(session: Session, /, name: str, dry_run: str, form: str) -> None:
    """Create a namespace."""
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("name")
@pass_session
def serviceaccount(session: Session, /, name: str, dry_run: str, form: str) -> None:
    """Create a ServiceAccount."""
    obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--image", required=True, help="The container's image.")
@click.option("-r", "--replicas", type=click.IntRange(0), default=1, help="How many pods.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="The container's port.")
@pass_session
def deployment(
    session: Session,
    /,
    name: str,
    command: tuple[str, ...],
    image: str,
    replicas: int,
    port: int | None,
    dry_run: str,
    form: str,
) -> None:
    """Create a Deployment: NAME --image=IMAGE [-- COMMAND …]."""
    template = pod_template(name, image, command)
    if port:
        template["spec"]["containers"][0]["ports"] = [{"containerPort": port}]
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
        },
    }
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("name")
@click.option("--from-literal", multiple=True, metavar="KEY=VALUE", help="One entry.")
@click.option("--from-file", multiple=True, metavar="[KEY=]FILE", help="A file or directory.")
@pass_session
def configmap(
    session: Session,
    /,
    name: str,
    from_literal: tuple[str, ...],
    from_file: tuple[str, ...],
    dry_run: str,
    form: str,
) -> None:
    """Create a ConfigMap."""
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    for key, value in literals(from_literal, from_file).items():
        try:
            obj.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = base64.b64encode(value).decode()
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("kind", type=click.Choice(("generic",)))
@click.argument("name")
@click.option("--from-literal", multiple=True, metavar="KEY=VALUE", help="One entry.")
@click.option("--from-file", multiple=True, metavar="[KEY=]FILE", help="A file or directory.")
@click.option("--type", "secret_type", default="", help="Its type.")
@pass_session
def secret(
    session: Session,
    /,
    kind: str,
    name: str,
    from_literal: tuple[str, ...],
    from_file: tuple[str, ...],
    secret_type: str,
    dry_run: str,
    form: str,
) -> None:
    """Create a Secret: `secret generic NAME --from-literal=KEY=VALUE`."""
    obj: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    data = literals(from_literal, from_file)
    if data:
        obj["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if secret_type:
        obj["type"] = secret_type
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--image", required=True, help="The container's image.")
@pass_session
def job(
    session: Session, /, name: str, command: tuple[str, ...], image: str, dry_run: str, form: str
) -> None:
    """Create a Job: NAME --image=IMAGE [-- COMMAND …]."""
    obj = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": _named(pod_template("", image, command, "Never"), name)},
    }
    create_one(session, obj, dry_run=dry_run, form=form)


@click.command(cls=CreateCommand)
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--image", required=True, help="The container's image.")
@click.option("--schedule", required=True, help="A line of cron: */5 * * * *")
@click.option(
    "--restart",
    type=click.Choice(("OnFailure", "Never")),
    default="OnFailure",
    help="What happens when it ends.",
)
@pass_session
def cronjob(
    session: Session,
    /,
    name: str,
    command: tuple[str, ...],
    image: str,
    schedule: str,
    restart: str,
    dry_run: str,
    form: str,
) -> None:
    """Create a CronJob: NAME --image=IMAGE --schedule=… [-- COMMAND …]."""
    template = _named(pod_template("", image, command, restart), name)
    obj = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": schedule,
            "jobTemplate": {"metadata": {"name": name}, "spec": {"template": template}},
        },
    }
    create_one(session, obj, dry_run=dry_run, form=form)


def _named(template: Object, name: str) -> Object:
    template["spec"]["containers"][0]["name"] = name
    return template
