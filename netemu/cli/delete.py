"""`netemu delete`: delete, wait until gone, and until no node's rules name what is gone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from netemu.api.resource import Object
from netemu.cli import options, targets
from netemu.cli.api import Api
from netemu.cli.durations import DURATION, WEEK
from netemu.cli.failures import CommandFailed, api_headline
from netemu.cli.following import wait_gone
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.settle import barrier
from netemu.cli.targets import Target
from netemu.errors import ApiError


class Deleted(NamedTuple):
    """What was asked to go; the uid tells it from a successor of the same name."""

    target: Target
    uid: str


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, metavar="TYPE [NAME…] | TYPE/NAME…")
@click.option("-f", "--filename", "files", multiple=True, help="Objects that a manifest names.")
@options.recursive
@click.option("--all", "everything", is_flag=True, help="All of the type.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--field-selector", "fields", default="", help="Field selector.")
@click.option("--grace-period", type=int, default=-1, help="Seconds; 1 is immediate shutdown.")
@click.option("--now", is_flag=True, help="The same as --grace-period=1.")
@click.option("--force", is_flag=True, help="Don't wait for the processes to end.")
@click.option(
    "--cascade",
    type=click.Choice(("background", "foreground", "orphan")),
    default="background",
    help="What becomes of the objects that it owns.",
)
@click.option("--wait/--no-wait", "wait", default=True, help="Return when they are gone.")
@click.option("--timeout", type=DURATION, default="0", help="How long to wait; 0: very long.")
@click.option("--ignore-not-found", is_flag=True, help="A missing object is no error.")
@options.dry_run("Only say what would go.")
@options.output_of("name", what="TYPE/NAME only.")
@pass_session
def delete(
    session: Session,
    /,
    resources: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    everything: bool,
    all_namespaces: bool,
    labels: str,
    fields: str,
    grace_period: int,
    now: bool,
    force: bool,
    cascade: str,
    wait: bool,
    timeout: float,
    ignore_not_found: bool,
    dry_run: str,
    form: str,
) -> int:
    """Delete objects by file, name or selector."""
    asked = _asked(session, resources, files, recursive, "" if all_namespaces else None)
    if not (everything or labels or fields) and any(not target.name for target in asked):
        raise click.UsageError("resource(s) were provided, but no name, label selector, or --all")
    options = _delete_options(1 if now else grace_period, force, cascade, dry_run)
    lenient = ignore_not_found or everything or bool(labels)
    status, gone = 0, []
    for target in _expanded(session.api, asked, labels, fields):
        try:
            gone.append(_delete(session.api, target, options))
        except ApiError as error:
            if error.reason != "NotFound" or not lenient:
                print(api_headline(error), file=sys.stderr)
                status = 1
            continue
        _report(target, force, dry_run, form)
    if not gone and not status and not ignore_not_found:
        print("No resources found", file=sys.stderr)
    if wait and dry_run == "none" and gone:
        _wait(session.api, gone, timeout or WEEK)
    return status


def _asked(
    session: Session,
    words: Sequence[str],
    files: Sequence[str],
    recursive: bool,
    namespace: str | None,
) -> list[Target]:
    if files:
        from netemu.cli.fromfiles import targets_in

        return targets_in(session, files, recursive=recursive)
    scope = session.namespace if namespace is None else namespace
    return targets.parse(session.discovery, words, scope)


def _delete_options(grace: int, force: bool, cascade: str, dry_run: str) -> Object:
    options: Object = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": cascade.capitalize(),
    }
    if force:
        print(
            "Warning: Immediate deletion does not wait for confirmation that the running resource"
            " has been terminated. The resource may continue to run on the cluster indefinitely.",
            file=sys.stderr,
        )
        options["gracePeriodSeconds"] = max(grace, 0)
    elif grace >= 0:
        options["gracePeriodSeconds"] = max(grace, 1)
    if dry_run == "server":
        options["dryRun"] = ["All"]
    return options if dry_run != "client" else {}


def _expanded(api: Api, asked: Sequence[Target], labels: str, fields: str) -> Iterator[Target]:
    """Named objects as they are; selectors as the objects that they select."""
    for target in asked:
        if target.name:
            yield target
            continue
        if "delete" not in target.resource.verbs:
            continue
        for item in targets.objects(api, target, labels=labels, fields=fields):
            yield targets.of_object(target.resource, item, target.namespace)


def _delete(api: Api, target: Target, options: Object) -> Deleted:
    live = api.get(target.path)
    uid = live["metadata"].get("uid", "")
    if options:
        try:
            api.delete(target.path, options)
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            api.delete(target.path, options)
    return Deleted(target, uid)


def _report(target: Target, force: bool, dry_run: str, form: str) -> None:
    if form == "name":
        print(target)
        return
    verb = "force deleted" if force else "deleted"
    note = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    print(f'{target.resource.label} "{target.name}" {verb}{note}', flush=True)


def _wait(api: Api, gone: Sequence[Deleted], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for each in gone:
        try:
            wait_gone(api, each.target, each.uid, timeout=deadline - time.monotonic())
        except TimeoutError:
            raise CommandFailed(
                f"timed out waiting for the condition on {each.target}",
                hint=f"netemu get {each.target.resource.plural} {each.target.name} -o yaml"
                " (metadata.finalizers say what holds it)",
            ) from None
    barrier(api, timeout=min(max(deadline - time.monotonic(), 1.0), 60.0))
