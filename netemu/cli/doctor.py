"""`netemu doctor`: what this machine offers, tried for real, and what to do about what it lacks."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from netemu.cli import options
from netemu.cli.failures import MACHINE
from netemu.cli.session import Command
from netemu.cli.tabs import align

STATE = {True: "ok", False: "MISSING"}


@click.command(cls=Command)
@options.output_of("json", what="For programs.")
def doctor(form: str) -> int:
    """What this machine offers, and what it lacks. Exit code 3 when no cluster can run here."""
    from netemu.node.capabilities import REQUIRED, probe

    found = probe()
    missing = [each for each in found if not each.present]
    blocking = [each.name for each in missing if each.name in REQUIRED]
    if form == "json":
        document = {"ready": not blocking, "capabilities": [asdict(each) for each in found]}
        print(json.dumps(document, indent=2))
        return MACHINE if blocking else 0
    lines = [
        "\t".join((STATE[each.present], each.name, each.needed_by, each.detail)).rstrip()
        for each in found
    ]
    print(*align(lines, padding=3), sep="\n")
    for each in missing:
        if each.hint:
            print(f"{each.name}: try: {each.hint}")
    if blocking:
        print(f"no cluster can run here: {', '.join(blocking)} missing")
        return MACHINE
    without = ", ".join(each.name for each in missing)
    print("a cluster can run here" + (f"; without {without}" if without else ""))
    return 0
