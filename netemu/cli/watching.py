"""`get -w`: the table or the objects, and then every change in the same columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from netemu.api.resource import Object
from netemu.cli.api import JSON, TABLE
from netemu.cli.output import TABLE_FORMS, render, without_managed_fields
from netemu.cli.session import Session
from netemu.cli.tables import TablePrinter, as_table
from netemu.cli.targets import Target, typed

if TYPE_CHECKING:
    from netemu.cli.get import Wanted


def watch_targets(
    session: Session, asked: Sequence[Target], wanted: Wanted, *, only_changes: bool
) -> int:
    """Until the user ends it. One resource at a time, as in kubectl."""
    if len(asked) != 1:
        raise click.UsageError("you may only watch a single resource or type of resource")
    target = asked[0]
    query = dict(wanted.selector)
    if target.name:
        chosen = f"metadata.name={target.name}"
        query["fieldSelector"] = ",".join(filter(None, (wanted.fields, chosen)))
    printer = _TableWatch(wanted) if wanted.form in TABLE_FORMS else _ObjectWatch(target, wanted)
    listed = session.api.get(target.collection, query, accept=printer.accept)
    if not only_changes:
        printer.show_list(listed)
    query["resourceVersion"] = str((listed.get("metadata") or {}).get("resourceVersion", ""))
    for event, obj in session.api.watch(target.collection, query, accept=printer.accept):
        printer.show(event, obj)
    return 0


class _TableWatch:
    accept = TABLE

    def __init__(self, wanted: Wanted) -> None:
        self._printer = TablePrinter(wanted.look)

    def show_list(self, listed: Object) -> None:
        self.show("ADDED", listed)

    def show(self, event: str, obj: Object) -> None:
        if event != "BOOKMARK":
            for line in self._printer.lines(as_table(obj), event=event):
                print(line, flush=True)


class _ObjectWatch:
    accept = JSON

    def __init__(self, target: Target, wanted: Wanted) -> None:
        self._resource = target.resource
        self._wanted = wanted

    def show_list(self, listed: Object) -> None:
        for item in listed.get("items") or ():
            self.show("ADDED", item)

    def show(self, event: str, obj: Object) -> None:
        if event == "BOOKMARK":
            return
        obj = typed(obj, self._resource)
        if not self._wanted.managed_fields:
            obj = without_managed_fields(obj)
        shown = {"type": event, "object": obj} if self._wanted.look.events else obj
        text = render(shown, self._wanted.form)
        if self._wanted.form == "yaml":
            text = "---\n" + text
        sys.stdout.write(text)
        sys.stdout.flush()
