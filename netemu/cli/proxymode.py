"""`netemu proxy-mode [MODE]`: how nodes program Services, shown or changed while they run."""

from __future__ import annotations

import click

from netemu.cli.session import Command, Session, pass_session
from netemu.cli.settle import barrier
from netemu.config.cluster import PROXY_MODES


@click.command("proxy-mode", cls=Command)
@click.argument("mode", required=False, type=click.Choice(PROXY_MODES))
@click.option("--node", default="", help="Only this node.")
@pass_session
def proxy_mode(session: Session, /, mode: str | None, node: str) -> None:
    """Show or change the proxy mode. Connections that exist go on."""
    from netemu.cluster.state import load_config

    if mode is None:
        config = load_config(session.cluster)
        for each in config.nodes:
            if node in ("", each.name):
                print(f"{each.name} {each.proxy_mode or config.proxy.mode}")
        return
    from netemu.cluster.control import ask

    ask(session.cluster, "proxy-mode", mode=mode, node=node)
    barrier(session.api, timeout=60.0)
    print(f"{f'node/{node}' if node else 'all nodes'}: proxy mode {mode}")
