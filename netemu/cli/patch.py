"""`netemu patch`: strategic, merge and JSON patches.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

from pathlib import Path

import click

from netemu.cli import options, targets
from netemu.cli.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from netemu.cli.failures import CommandFailed
from netemu.cli.output import render, without_managed_fields
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import typed
from netemu.documents.reader import decode, parse

TYPES = {"strategic": STRATEGIC_MERGE_PATCH, "merge": MERGE_PATCH, "json": JSON_PATCH}


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME")
@click.option("-p", "--patch", "text", default="", help="The patch as JSON or YAML.")
@click.option("--patch-file", default="", help="A file with the patch.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(tuple(TYPES)),
    default="strategic",
    show_default=True,
    help="What kind of patch it is.",
)
@click.option(
    "--subresource", type=click.Choice(("", "status", "scale")), default="", help="Patch this part."
)
@options.output("Print the object: yaml, json, name.")
@pass_session
def patch(
    session: Session,
    /,
    resources: tuple[str, ...],
    text: str,
    patch_file: str,
    kind: str,
    subresource: str,
    form: str,
) -> None:
    """Change fields of an object."""
    if bool(text) == bool(patch_file):
        raise click.UsageError(
            "must specify --patch or --patch-file containing the contents of the patch"
        )
    content = Path(patch_file).read_bytes() if patch_file else text.encode()
    source = patch_file or "--patch"
    documents, errors = parse(decode(content, source), source)
    if errors:
        raise errors[0]
    if len(documents) != 1:
        raise CommandFailed(f"{source}: one patch is needed, {len(documents)} given")
    target = targets.one(session.discovery, resources, session.namespace)
    path = f"{target.path}/{subresource}" if subresource else target.path
    before = session.api.get(target.path)
    after = session.api.patch(path, documents[0].value, kind=TYPES[kind])
    if form:
        print(render(without_managed_fields(typed(after, target.resource)), form), end="")
        return
    same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
    print(f"{target} patched{' (no change)' if same else ''}")
