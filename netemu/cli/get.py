"""`netemu get`: tables, objects, watches, as `kubectl get` prints them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from netemu.api.resource import Object
from netemu.cli import options, targets
from netemu.cli.api import TABLE
from netemu.cli.failures import api_headline
from netemu.cli.output import (
    TABLE_FORMS,
    as_list,
    render,
    without_managed_fields,
)
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.tables import Look, TablePrinter, as_table, merged
from netemu.cli.targets import Target
from netemu.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The flags of one `get`."""

    form: str
    look: Look
    labels: str
    fields: str
    show_kind: bool
    ignore_not_found: bool
    managed_fields: bool
    sort_by: str

    @property
    def selector(self) -> dict[str, str | None]:
        return {"labelSelector": self.labels, "fieldSelector": self.fields}


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, metavar="TYPE[,TYPE] [NAME…] | TYPE/NAME…")
@click.option("-f", "--filename", "files", multiple=True, help="Objects that a manifest names.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--field-selector", "fields", default="", help="Field selector.")
@options.output("wide, yaml, json, name, jsonpath=…, custom-columns=…")
@click.option("-w", "--watch", is_flag=True, help="Go on with every change.")
@click.option("--watch-only", is_flag=True, help="Only the changes.")
@click.option("--output-watch-events", "events", is_flag=True, help="Show the kind of change.")
@click.option("--no-headers", is_flag=True, help="No line of column names.")
@click.option("--show-labels", is_flag=True, help="Labels as the last column.")
@click.option("-L", "--label-columns", multiple=True, help="A column for this label.")
@click.option("--show-kind", is_flag=True, help="TYPE/NAME in the name column.")
@click.option("--show-managed-fields", is_flag=True, help="Keep metadata.managedFields.")
@click.option("--sort-by", default="", help="JSONPath of the value to sort by.")
@click.option("--ignore-not-found", is_flag=True, help="A missing object is no error.")
@pass_session
def get(
    session: Session,
    /,
    resources: tuple[str, ...],
    files: tuple[str, ...],
    all_namespaces: bool,
    watch: bool,
    watch_only: bool,
    **flags: Any,
) -> int:
    """Show objects."""
    wanted = _wanted(all_namespaces=all_namespaces, **flags)
    asked = _targets(session, resources, files, "" if all_namespaces else session.namespace)
    if watch or watch_only:
        from netemu.cli.watching import watch_targets

        return watch_targets(session, asked, wanted, only_changes=watch_only)
    if wanted.form in TABLE_FORMS:
        several = show_kinds(session, asked, resources) or wanted.show_kind
        return _tables(session, asked, wanted, several, all_namespaces)
    return _objects(session, asked, wanted)


def show_kinds(session: Session, asked: Sequence[Target], words: Sequence[str]) -> bool:
    """Whether the kind stands before the name, as kubectl does for several types."""
    if any("/" not in word and session.discovery.is_category(word) for word in words[:1]):
        return True
    return len({target.resource for target in asked}) > 1


def _wanted(
    *,
    all_namespaces: bool,
    form: str,
    labels: str,
    fields: str,
    events: bool,
    no_headers: bool,
    show_labels: bool,
    label_columns: tuple[str, ...],
    show_kind: bool,
    show_managed_fields: bool,
    sort_by: str,
    ignore_not_found: bool,
) -> Wanted:
    look = Look(
        wide=form == "wide",
        namespaces=all_namespaces,
        headers=not no_headers,
        labels=show_labels,
        events=events,
        label_columns=tuple(name for part in label_columns for name in part.split(",")),
    )
    return Wanted(
        form=form,
        look=look,
        labels=labels,
        fields=fields,
        show_kind=show_kind,
        ignore_not_found=ignore_not_found,
        managed_fields=show_managed_fields,
        sort_by=sort_by,
    )


def _targets(
    session: Session, words: Sequence[str], files: Sequence[str], namespace: str
) -> list[Target]:
    if not files:
        return targets.parse(session.discovery, words, namespace)
    from netemu.cli.fromfiles import targets_in

    return targets_in(session, files)


def _tables(
    session: Session, asked: Sequence[Target], wanted: Wanted, kinds: bool, everywhere: bool
) -> int:
    """One table a resource, empty ones left out, a blank line between them."""
    status, blocks = 0, []
    for group in _by_resource(asked):
        found: list[Object] = []
        for target in group:
            try:
                found.append(fetch_table(session, target, wanted))
            except ApiError as error:
                status |= _missing(error, wanted)
        table = merged(sort_rows(found, wanted.sort_by))
        resource = group[0].resource
        look = wanted.look if resource.namespaced else _clusterwide(wanted.look)
        lines = TablePrinter(look, kind=resource.label if kinds else "").lines(table)
        if lines:
            blocks.append("\n".join(lines))
    if blocks:
        print("\n\n".join(blocks))
    elif not status and not wanted.ignore_not_found:
        namespaced = any(t.resource.namespaced for t in asked) and not everywhere
        where = f" in {session.namespace} namespace." if namespaced else ""
        print(f"No resources found{where}", file=sys.stderr)
    return status


def _clusterwide(look: Look) -> Look:
    return Look(
        wide=look.wide,
        headers=look.headers,
        labels=look.labels,
        label_columns=look.label_columns,
        events=look.events,
    )


def fetch_table(session: Session, target: Target, wanted: Wanted) -> Object:
    query = {} if target.name else wanted.selector
    if wanted.sort_by:
        query = {**query, "includeObject": "Object"}
    return as_table(session.api.get(target.path, query, accept=TABLE))


def sort_rows(tables: list[Object], path: str) -> list[Object]:
    if not path:
        return tables
    from netemu.cli.sorting import sort_key

    table = merged(tables)
    rows = sorted(table["rows"], key=lambda row: sort_key(path, row.get("object") or {}))
    return [{**table, "rows": rows}]


def _objects(session: Session, asked: Sequence[Target], wanted: Wanted) -> int:
    status = 0
    items: list[Object] = []
    for target in asked:
        try:
            items += targets.objects(
                session.api, target, labels=wanted.labels, fields=wanted.fields
            )
        except ApiError as error:
            status |= _missing(error, wanted)
    if not wanted.managed_fields:
        items = [without_managed_fields(item) for item in items]
    if wanted.sort_by:
        from netemu.cli.sorting import sort_key

        items.sort(key=lambda item: sort_key(wanted.sort_by, item))
    single = len(asked) == 1 and bool(asked[0].name)
    if items or not single:
        obj = items[0] if single else as_list(items)
        sys.stdout.write(render(obj, wanted.form))
    return status


def _by_resource(asked: Sequence[Target]) -> list[list[Target]]:
    groups: dict[object, list[Target]] = {}
    for target in asked:
        groups.setdefault(target.resource, []).append(target)
    return list(groups.values())


def _missing(error: ApiError, wanted: Wanted) -> int:
    """Report and go on with the others; anything but a missing object ends the command."""
    if error.reason != "NotFound":
        raise error
    if wanted.ignore_not_found:
        return 0
    print(api_headline(error), file=sys.stderr)
    return 1
