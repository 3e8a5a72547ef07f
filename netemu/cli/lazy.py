"""A click group that imports a command's module only when that command is asked for.

`netemu get` would otherwise pay for the imports of forty commands; with this it starts in the time
that Python and click need. The short help texts are kept here beside the names, so that
`netemu --help` imports no command at all.
https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import click

from netemu.cli.nearest import nearest


class Entry(NamedTuple):
    """Where a command lives (`module:attribute` below netemu.cli) and its line in the help."""

    target: str
    help: str


class Group(click.Group):
    """A mistyped name gets a suggestion; one in `elsewhere` is for kubectl."""

    def __init__(self, *args: Any, elsewhere: Collection[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = elsewhere

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            advice = self._advice(args[0], known)
            raise click.UsageError(f"no such command '{args[0]}'{advice}", ctx)
        return super().resolve_command(ctx, args)

    def _advice(self, word: str, known: Sequence[str]) -> str:
        if word in self._elsewhere:
            return f"; kubectl has it: KUBECONFIG=$(netemu kubeconfig --path) kubectl {word} …"
        near = nearest(word, known)
        return f"; did you mean '{near}'?" if near else ""


class LazyGroup(Group):
    """Commands by section."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._entries = {name: e for section in sections.values() for name, e in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"netemu.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])
