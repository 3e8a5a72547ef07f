"""`netemu explain FROM TO[:PORT]`: follow a connection's first packet through the rules.

The rules are compiled from the API's objects as the node's proxy compiles them, and the tracer that
the tests compare with real packets walks through them. So this needs no root and sends nothing.
"""

from __future__ import annotations

import json

import click

from netemu.cli import options
from netemu.cli.explaining.describe import document, print_story
from netemu.cli.explaining.parties import find_sender, find_target
from netemu.cli.explaining.world import World
from netemu.cli.session import ObjectCommand, Session, pass_session


@click.command(cls=ObjectCommand)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO[:PORT]")
@click.option("--udp", "protocol", flag_value="udp", help="A UDP packet.")
@click.option("--sctp", "protocol", flag_value="sctp", help="An SCTP packet.")
@click.option("--all", "everything", is_flag=True, help="Also rules that match and change nothing.")
@options.output_of("json", what="For programs.")
@pass_session
def explain(
    session: Session, /, source: str, target: str, protocol: str | None, everything: bool, form: str
) -> int:
    """Which rule takes a packet where, and from which object the rule comes.

    FROM is POD, NAMESPACE/POD, node/NAME or host/NAME; TO also a Service (NAME, svc/NAME,
    NAME.NAMESPACE) or an address. Exit code 1 when the packet does not arrive.
    """
    world = World(session)
    sender = find_sender(world, source)
    aim = find_target(world, target, protocol or "")
    story = world.follow(sender, aim)
    if form == "json":
        print(json.dumps(document(story), indent=2))
    else:
        print_story(story, everything=everything)
    return 0 if story.arrives else 1
