"""`netemu version`."""

from __future__ import annotations

import json
from contextlib import suppress

import click

from netemu.cli import options
from netemu.cli.failures import ClusterNotRunning
from netemu.cli.session import Command, Session, pass_session
from netemu.errors import CapabilityError


@click.command(cls=Command)
@click.option("--client", "only_client", is_flag=True, help="Don't ask a cluster.")
@options.output_of("json", what="For programs.")
@pass_session
def version(session: Session, /, only_client: bool, form: str) -> None:
    """Versions of netemu and of the API that a running cluster serves."""
    from importlib.metadata import version as version_of

    found = {"netemu": version_of("netemu")}
    if not only_client:
        with suppress(ClusterNotRunning, CapabilityError):  # no cluster to ask is no failure here
            found["api"] = str(session.api.get("/version").get("gitVersion", ""))
    if form == "json":
        print(json.dumps(found, indent=2))
        return
    print(f"netemu {found['netemu']}")
    if "api" in found:
        print(f"Kubernetes API {found['api']} (cluster {session.cluster})")
