"""Flags that several commands take in the same words: kubectl's `--dry-run`, `-o`, `-R`.

https://kubernetes.io/docs/reference/kubectl/generated/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from netemu.cli.output import check

DRY_RUNS = ("none", "client", "server")

Decorate = Callable[[Any], Any]


def _checked(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return check(value or "")


def dry_run(what: str) -> Decorate:
    """`--dry-run[=client|server]`, as the parameter `dry_run`: one of DRY_RUNS."""
    return click.option(
        "--dry-run",
        type=click.Choice(DRY_RUNS),
        default="none",
        is_flag=False,
        flag_value="client",
        help=what,
    )


def output(what: str) -> Decorate:
    """`-o FORM`, as the parameter `form`: one that `output.render` knows, or empty."""
    return click.option("-o", "--output", "form", default="", callback=_checked, help=what)


def output_of(*forms: str, what: str) -> Decorate:
    """`-o FORM`, as the parameter `form`: one of `forms`, or empty."""
    choice = click.Choice(("", *forms))
    return click.option(
        "-o", "--output", "form", type=choice, default="", metavar="|".join(forms), help=what
    )


recursive: Decorate = click.option(
    "-R", "--recursive", is_flag=True, help="Directories with what is below them."
)
