"""`netemu label` and `annotate`: KEY=VALUE sets, KEY- removes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from netemu.cli import targets
from netemu.cli.failures import CommandFailed
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import Target
from netemu.cli.threeway import difference

_Command = Callable[..., int]

_OPTIONS: tuple[Callable[[_Command], _Command], ...] = (
    pass_session,
    click.option("--list", "listing", is_flag=True, help="Show what is set."),
    click.option("--overwrite", is_flag=True, help="Values that are there may change."),
    click.option("--all", "everything", is_flag=True, help="All of the type."),
    click.option("-l", "--selector", "labels", default="", help="Label selector."),
    click.option("-f", "--filename", "files", multiple=True, help="A manifest's objects."),
    click.argument("words", nargs=-1, metavar="TYPE NAME… KEY=VALUE… KEY-…"),
)


def _options(command: _Command) -> _Command:
    for option in _OPTIONS:
        command = option(command)
    return command


@click.command(cls=ObjectCommand)
@_options
def label(session: Session, /, **flags: Any) -> int:
    """Set or remove labels."""
    return _change(session, "labels", ("labeled", "unlabeled", "not labeled"), **flags)


@click.command(cls=ObjectCommand)
@_options
def annotate(session: Session, /, **flags: Any) -> int:
    """Set or remove annotations."""
    return _change(session, "annotations", ("annotated",) * 3, **flags)


def _change(
    session: Session,
    field: str,
    verbs: Sequence[str],
    *,
    words: tuple[str, ...],
    files: tuple[str, ...],
    labels: str,
    everything: bool,
    overwrite: bool,
    listing: bool,
) -> int:
    resources, changes = split_changes(words)
    asked = _targets(session, resources, files, labels, everything)
    if not changes and not listing:
        raise click.UsageError(f"at least one {field[:-1]} update is required")
    for target in asked:
        live = session.api.get(target.path)
        before = live["metadata"].get(field) or {}
        if listing:
            print(*(f"{key}={value}" for key, value in before.items()), sep="\n")
            continue
        _check_overwrite(before, changes, overwrite)
        after = {k: v for k, v in {**before, **changes}.items() if v is not None}
        patch = difference(before, after)
        if patch:
            session.api.patch(target.path, {"metadata": {field: patch}})
        print(f"{target} {_verb(before, changes, patch, verbs, field)}")
    return 0


def _verb(
    before: dict[str, str],
    changes: dict[str, str | None],
    patch: Any,
    verbs: Sequence[str],
    field: str,
) -> str:
    for key, value in changes.items():
        if value is None and key not in before:
            print(f'{field[:-1]} "{key}" not found.', file=sys.stderr)
    if not patch:
        return verbs[2]
    return verbs[1] if all(value is None for value in changes.values()) else verbs[0]


def split_changes(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """Resource words first, then `KEY=VALUE` and `KEY-`; None removes."""
    resources: list[str] = []
    changes: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            changes[key] = value
        elif word.endswith("-") and len(word) > 1:
            changes[word[:-1]] = None
        elif changes:
            raise click.UsageError(f"all resources must be specified before changes: {word}")
        else:
            resources.append(word)
    return resources, changes


def _targets(
    session: Session, words: list[str], files: tuple[str, ...], labels: str, everything: bool
) -> list[Target]:
    if files:
        from netemu.cli.fromfiles import targets_in

        return targets_in(session, files)
    asked = targets.parse(session.discovery, words, session.namespace)
    if not labels and not everything:
        return targets.named(session.discovery, words, session.namespace)
    return [
        targets.of_object(target.resource, item, session.namespace)
        for target in asked
        for item in targets.objects(session.api, target, labels=labels)
    ]


def _check_overwrite(
    before: dict[str, str], changes: dict[str, str | None], overwrite: bool
) -> None:
    for key, value in changes.items():
        if not overwrite and value is not None and before.get(key, value) != value:
            raise CommandFailed(
                f"'{key}' already has a value ({before[key]}), and --overwrite is false"
            )
