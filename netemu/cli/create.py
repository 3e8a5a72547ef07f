"""`netemu create -f`, and the short forms for common kinds, as kubectl's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from netemu.api.resource import Object
from netemu.cli import options
from netemu.cli.failures import CommandFailed
from netemu.cli.lazy import Entry, LazyGroup
from netemu.cli.manifests import read_objects
from netemu.cli.session import Session, shared_options
from netemu.cli.targets import Target, of_object
from netemu.cli.writing import Written, report, write_all
from netemu.errors import ApiError

KINDS = {
    "Kinds": {
        "namespace": Entry("creating:namespace", "A namespace."),
        "deployment": Entry("creating:deployment", "A Deployment of an image."),
        "service": Entry(
            "creatingservice:service", "clusterip, nodeport, loadbalancer, externalname."
        ),
        "configmap": Entry("creating:configmap", "A ConfigMap from literals and files."),
        "secret": Entry("creating:secret", "A Secret from literals and files."),
        "serviceaccount": Entry("creating:serviceaccount", "A ServiceAccount."),
        "job": Entry("creating:job", "A Job that runs a command."),
        "cronjob": Entry("creating:cronjob", "A CronJob that runs a command."),
    }
}
ALIASES = {
    "ns": "namespace",
    "deploy": "deployment",
    "svc": "service",
    "cm": "configmap",
    "sa": "serviceaccount",
    "cj": "cronjob",
}


class CreateGroup(LazyGroup):
    """`create -f FILE`, or `create KIND …`; short names are known."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, sections=KINDS, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in ALIASES:
            args = [ALIASES[args[0]], *args[1:]]
        return super().resolve_command(ctx, args)


@click.group(cls=CreateGroup, invoke_without_command=True)
@click.option("-f", "--filename", "files", multiple=True, help="File, directory, or -.")
@options.recursive
@click.option("-n", "--namespace", "namespace", default="", help="Namespace.")
@options.dry_run("Only say what would be created.")
@options.output("Print the objects: yaml, json, name.")
@click.pass_context
def create(
    ctx: click.Context,
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    dry_run: str,
    form: str,
) -> None:
    """Create objects from files or from flags. An object that exists is an error."""
    session = ctx.ensure_object(Session)
    if namespace:
        session.namespace_flag = namespace
    if ctx.invoked_subcommand is not None:
        return
    if not files:
        raise click.UsageError("must specify -f, or a kind to create", ctx)
    manifests = read_objects(files, recursive=recursive)
    write_all(
        session,
        manifests,
        Creator(session, dry_run).send,
        form=form,
        dry_run=dry_run,
        done="created",
    )


create.params.extend(shared_options())


class Creator:
    """Sends an object with POST."""

    def __init__(self, session: Session, dry_run: str) -> None:
        self._api = session.api
        self._dry_run = dry_run
        self._query: dict[str, str | None] = {
            "fieldManager": "kubectl-create",
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run == "server" else None,
        }

    def send(self, target: Target, obj: Object) -> Written:
        if self._dry_run == "client":
            return Written(target, obj, "created")
        return Written(target, self._api.post(target.collection, obj, self._query), "created")


def create_one(session: Session, obj: Object, *, dry_run: str, form: str) -> None:
    """Create an object that flags have described."""
    resource = session.discovery.by_kind(obj["apiVersion"], obj["kind"])
    assert resource is not None
    target = of_object(resource, obj, session.namespace)
    if resource.namespaced and (session.namespace_flag or dry_run != "client"):
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": target.namespace}}
    try:
        written = Creator(session, dry_run).send(target, obj)
    except ApiError as error:
        if error.reason == "Invalid":
            raise
        kind = obj["kind"].lower()
        raise CommandFailed(f"failed to create {kind}: {error.message}") from error
    report(written, form, dry_run)


def literals(pairs: Sequence[str], files: Sequence[str]) -> dict[str, bytes]:
    """`--from-literal` and `--from-file` as data: KEY=VALUE, KEY=FILE or FILE."""
    import os

    data: dict[str, bytes] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"invalid literal source {pair}, expected key=value")
        data[key] = value.encode()
    for source in files:
        key, equals, path = source.partition("=")
        path = path if equals else source
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
        for name in names:
            full = os.path.join(path, name) if name else path
            if os.path.isfile(full):
                with open(full, "rb") as file:
                    data[name or (key if equals else os.path.basename(path))] = file.read()
    return data
