"""`netemu apply`: kubectl's client-side apply, which returns when packets flow.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from netemu.api.resource import Object
from netemu.cli import options
from netemu.cli.api import APPLY_PATCH
from netemu.cli.durations import DURATION
from netemu.cli.manifests import Manifest, read_objects
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import Target
from netemu.cli.threeway import LAST_APPLIED, difference, last_applied, merge, with_last_applied
from netemu.cli.writing import Written, write_all
from netemu.errors import ApiError

MANAGER = "kubectl-client-side-apply"
ATTEMPTS = 5


@click.command(cls=ObjectCommand)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    help="File, directory, or - for standard input.",
)
@options.recursive
@click.option("--no-wait", is_flag=True, help="Return as soon as the API has the objects.")
@click.option(
    "--timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long to wait for workloads and nodes.",
)
@options.dry_run("Say what would be done; `server` also has it checked.")
@options.output("Print the objects: yaml, json, name.")
@click.option("--server-side", is_flag=True, help="Merge in the server (server-side apply).")
@click.option("--force-conflicts", is_flag=True, help="With --server-side: take fields over.")
@click.option("--field-manager", default="kubectl", help="With --server-side: the fields' owner.")
@pass_session
def apply(
    session: Session,
    /,
    files: tuple[str, ...],
    recursive: bool,
    no_wait: bool,
    timeout: float,
    dry_run: str,
    form: str,
    server_side: bool,
    force_conflicts: bool,
    field_manager: str,
) -> None:
    """Create what is missing, change what differs, and wait until packets flow."""
    manifests = read_objects(files, recursive=recursive)
    if server_side:
        sender: Applier = ServerSide(session, dry_run, field_manager, force_conflicts)
    else:
        sender = ClientSide(session, dry_run)
    apply_manifests(
        session,
        manifests,
        sender,
        form=form,
        dry_run=dry_run,
        timeout=None if no_wait or dry_run != "none" else timeout,
    )


def apply_manifests(
    session: Session,
    manifests: Sequence[Manifest],
    sender: Applier | None = None,
    *,
    form: str = "",
    dry_run: str = "none",
    timeout: float | None,
) -> None:
    """Apply and, unless `timeout` is None, wait for what was applied."""
    sender = sender or ClientSide(session, dry_run)
    written = write_all(session, manifests, sender.send, form=form, dry_run=dry_run)
    if timeout is not None:
        from netemu.cli.settle import settle  # now: the cluster is at work, and nobody waits for us

        settle(session, [each.target for each in written], timeout=timeout)


class Applier:
    """How one object gets to the server."""

    def __init__(self, session: Session, dry_run: str, manager: str) -> None:
        self._api = session.api
        self._dry_run = dry_run
        self._query: dict[str, str | None] = {
            "fieldManager": manager,
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run == "server" else None,
        }

    def send(self, target: Target, obj: Object) -> Written:
        raise NotImplementedError


class ClientSide(Applier):
    """The three-way merge of `kubectl apply`."""

    def __init__(self, session: Session, dry_run: str = "none") -> None:
        super().__init__(session, dry_run, MANAGER)

    def send(self, target: Target, obj: Object) -> Written:
        if not target.name:
            generated = (obj.get("metadata") or {}).get("generateName")
            why = (
                f"from {generated}: cannot use generate name with apply"
                if generated
                else ("resource name may not be empty")
            )
            raise ApiError("BadRequest", why)
        wanted = with_last_applied(obj)
        for attempt in range(ATTEMPTS):
            try:
                return self._once(target, wanted)
            except ApiError as error:
                raced = error.reason in ("Conflict", "AlreadyExists")
                if not raced or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, target: Target, wanted: Object) -> Written:
        try:
            live = self._api.get(target.path)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            return self._create(target, wanted)
        last = last_applied(live)
        if last is None:
            _warn_no_annotation(target)
        result = merge(last or {}, live, wanted)
        patch = difference(live, result)
        patch.pop("status", None)
        if not patch:
            return Written(target, live, "unchanged")
        if self._dry_run == "client":
            return Written(target, result, "configured")
        patched = self._api.patch(target.path, patch, self._query)
        return Written(target, patched, _verb(live, patched, self._dry_run))

    def _create(self, target: Target, wanted: Object) -> Written:
        if self._dry_run == "client":
            return Written(target, wanted, "created")
        created = self._api.post(target.collection, wanted, self._query)
        return Written(target, created, "created")


class ServerSide(Applier):
    """`kubectl apply --server-side`."""

    def __init__(self, session: Session, dry_run: str, manager: str, force: bool) -> None:
        super().__init__(session, dry_run, manager)
        self._query["force"] = "true" if force else None

    def send(self, target: Target, obj: Object) -> Written:
        patched = self._api.patch(target.path, obj, self._query, kind=APPLY_PATCH)
        return Written(target, patched, "serverside-applied")


def _verb(live: Object, patched: Object, dry_run: str) -> str:
    """A patch that only spells a value differently (`0.5` for `500m`) changes nothing."""
    same = live["metadata"].get("resourceVersion") == patched["metadata"].get("resourceVersion")
    return "unchanged" if same and dry_run == "none" else "configured"


def _warn_no_annotation(target: Target) -> None:
    print(
        f"Warning: resource {target.resource.plural}/{target.name} is missing the {LAST_APPLIED}"
        " annotation which is required by kubectl apply. kubectl apply should only be used on"
        " resources created declaratively by either kubectl create --save-config or kubectl apply."
        " The missing annotation will be patched automatically.",
        file=sys.stderr,
    )
