"""`netemu kubeconfig`: what kubectl, Helm and client libraries need to talk to the cluster.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import sys

import click

from netemu.cli.failures import RootNeeded
from netemu.cli.session import RUN_ROOT, Command, Session, not_running, pass_session


@click.command(cls=Command)
@click.option(
    "--path",
    "only_path",
    is_flag=True,
    help="Print where it is: export KUBECONFIG=$(netemu kubeconfig --path)",
)
@pass_session
def kubeconfig(session: Session, /, only_path: bool) -> None:
    """Print the cluster's kubeconfig; its user may do everything."""
    path = f"{RUN_ROOT}/{session.cluster}/kubeconfig"
    try:
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        raise not_running(session.cluster, f"{path} does not exist") from None
    except PermissionError:
        raise RootNeeded(f"the cluster's kubeconfig ({path})") from None
    sys.stdout.write(f"{path}\n" if only_path else text)
