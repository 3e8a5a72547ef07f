"""`netemu api-resources`."""

from __future__ import annotations

import click

from netemu.cli import options
from netemu.cli.discovery import Served
from netemu.cli.session import Command, Session, pass_session
from netemu.cli.tabs import align


@click.command("api-resources", cls=Command)
@click.option("--namespaced", type=bool, default=None, help="true or false: only such.")
@click.option("--api-group", default=None, help="Only this group.")
@click.option("--no-headers", is_flag=True, help="No line of column names.")
@options.output_of("name", "wide", what="wide: with verbs.")
@pass_session
def api_resources(
    session: Session,
    /,
    namespaced: bool | None,
    api_group: str | None,
    no_headers: bool,
    form: str,
) -> None:
    """The kinds that the API serves."""
    found = [
        resource
        for resource in session.discovery.preferred()
        if namespaced in (None, resource.namespaced) and api_group in (None, resource.group)
    ]
    found.sort(key=lambda resource: (resource.group, resource.plural))
    if form == "name":
        print(*(resource.qualified for resource in found), sep="\n")
        return
    lines = [] if no_headers else ["NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND"]
    if lines and form == "wide":
        lines[0] += "\tVERBS\tCATEGORIES"
    lines += [_line(resource, form) for resource in found]
    print(*align(lines, minimum=6, padding=3), sep="\n")


def _line(resource: Served, form: str) -> str:
    cells = [
        resource.plural,
        ",".join(resource.short_names),
        resource.api_version,
        str(resource.namespaced).lower(),
        resource.kind,
    ]
    if form == "wide":
        cells += [",".join(resource.verbs), ",".join(resource.categories)]
    return "\t".join(cells)
