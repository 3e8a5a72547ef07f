"""`netemu up`, `down`, `status` and `clean`: the border to `netemu.cluster`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from netemu.cli import options
from netemu.cli.counts import in_words
from netemu.cli.durations import DURATION
from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.cli.manifests import Manifest, read
from netemu.cli.progress import Progress
from netemu.cli.session import DEFAULT_NAME, Command, Session, pass_session
from netemu.config import ClusterConfig
from netemu.errors import MembershipError


@click.command(cls=Command)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="Manifests to apply; a Cluster document in them gives the settings.",
)
@click.option("-R", "--recursive", is_flag=True, help="Directories with what is below them.")
@click.option("--config", "config_file", default="", help="A file with a Cluster document.")
@click.option("--name", default=None, help="The cluster's name.  [default: netemu]")
@click.option(
    "--nodes",
    default=None,
    metavar="N|NAME,…",
    help="How many nodes, or their names.  [default: 3]",
)
@click.option("--proxy-mode", default=None, help="iptables, nftables, ipvs or flat.")
@click.option(
    "--pod-subnet",
    default=None,
    metavar="CIDR[,CIDR]",
    help="The pods' networks, one a family.  [default: 10.244.0.0/16]",
)
@click.option(
    "--service-subnet",
    default=None,
    metavar="CIDR[,CIDR]",
    help="The Services' networks, one a family.  [default: 10.96.0.0/12]",
)
@click.option(
    "--etcd-servers",
    default=None,
    metavar="URL[,URL]",
    help="Keep all objects in this etcd: one cluster with all who do so below the same prefix."
    "  [default: a store of its own]",
)
@click.option(
    "--etcd-prefix",
    default=None,
    metavar="PATH",
    help="Where in etcd; another prefix is another cluster.  [default: /registry]",
)
@click.option("--etcd-cafile", default=None, metavar="FILE", help="etcd's certificate authority.")
@click.option("--etcd-certfile", default=None, metavar="FILE", help="Our certificate for etcd.")
@click.option("--etcd-keyfile", default=None, metavar="FILE", help="The key of that certificate.")
@click.option("--no-wait", is_flag=True, help="Don't wait for what -f applies.")
@click.option(
    "--timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long to wait for what -f applies.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@pass_session
def up(
    session: Session,
    /,
    files: tuple[str, ...],
    recursive: bool,
    config_file: str,
    name: str | None,
    nodes: str | None,
    proxy_mode: str | None,
    pod_subnet: str | None,
    service_subnet: str | None,
    etcd_servers: str | None,
    etcd_prefix: str | None,
    etcd_cafile: str | None,
    etcd_certfile: str | None,
    etcd_keyfile: str | None,
    no_wait: bool,
    timeout: float,
    dry_run: bool,
) -> None:
    """Bring a cluster up. It is ready when this returns."""
    from netemu.cli.clusterfile import cluster_document
    from netemu.config.load import load

    manifests = read(files, recursive=recursive) if files else []
    document, source = cluster_document(manifests, config_file)
    flags = {
        "--name": name or session.cluster_flag or None,
        "--nodes": nodes,
        "--proxy-mode": proxy_mode,
        "--pod-subnet": pod_subnet,
        "--service-subnet": service_subnet,
        "--etcd-servers": etcd_servers,
        "--etcd-prefix": etcd_prefix,
        "--etcd-cafile": etcd_cafile,
        "--etcd-certfile": etcd_certfile,
        "--etcd-keyfile": etcd_keyfile,
    }
    config = load(document, source=source, environment=os.environ, flags=flags)
    objects = [manifest for manifest in manifests if not manifest.is_cluster]
    if dry_run:
        from netemu.cli.plan import plan_text

        sys.stdout.write(plan_text(config, len(objects)))
        return
    _require(config)
    _start(config)
    if objects:
        _apply(config, objects, None if no_wait else timeout)


def _require(config: ClusterConfig) -> None:
    """Fail before anything is made when this machine lacks what the cluster needs."""
    _require_root("bringing a cluster up")
    from netemu.node.capabilities import REQUIRED, needed_by, require

    modes = (config.proxy.mode, *(node.proxy_mode for node in config.nodes))
    require(*REQUIRED, *needed_by(modes))


def _start(config: ClusterConfig) -> None:
    from netemu.cluster import up as cluster_up

    with Progress() as progress:
        report = cluster_up.up(config, progress=progress.step)
        nodes = len(report.config.nodes)
        verb = "adopted" if report.adopted else "up"
        subnet = report.details.get("nodeSubnet")
        where = f" on {subnet}" if subnet else ""
        progress.clear()
        print(
            f"cluster {report.config.name} is {verb}: {nodes} node{'s' if nodes > 1 else ''}"
            f"{where}, ready in {report.seconds:.2f} s",
            flush=True,
        )


def _apply(config: ClusterConfig, objects: Sequence[Manifest], timeout: float | None) -> None:
    from netemu.cli.apply import apply_manifests

    session = Session()
    session.cluster_flag = config.name
    session.server = str(config.api_socket)
    try:
        apply_manifests(session, objects, timeout=timeout)
    finally:
        session.close()


@click.command(cls=Command)
@click.option("--name", default="", help="Which cluster.")
@click.option("--all", "everything", is_flag=True, help="All clusters of this machine.")
@click.option("--keep-data", is_flag=True, help="Keep objects and volumes for the next up.")
@click.option("--purge", is_flag=True, help="Empty the etcd as well, when no other member lives.")
@pass_session
def down(session: Session, /, name: str, everything: bool, keep_data: bool, purge: bool) -> int:
    """Take a cluster down and prove that nothing is left.

    Objects in an etcd of yours (up --etcd-servers) stay there, for its other members or the next
    up, apart from this machine's Nodes and their pods.
    """
    from netemu.cluster import state

    if name and everything:
        raise click.UsageError("--name and --all exclude each other")
    if purge and keep_data:
        raise click.UsageError("--purge and --keep-data exclude each other")
    _require_root("taking a cluster down")
    names = state.clusters() if everything else [name or _only_cluster(session, state.clusters())]
    if not names:
        print("no cluster on this machine: 0 left")
    return max((_take_down(each, keep_data, purge, everything) for each in names), default=0)


def _take_down(name: str, keep_data: bool, purge: bool, everything: bool) -> int:
    from netemu.cluster.down import down as take_down

    try:
        report = take_down(name, keep_data=keep_data, purge=purge)
    except MembershipError:
        if not everything:
            raise
        report = take_down(name)  # the last of them empties the etcd
    status = _print_removal(report.name, report.removed, report.left)
    if report.etcd:
        print(f"cluster {name}: {report.etcd}", flush=True)
    return status


def _print_removal(name: str, removed: dict[str, int], left: Sequence[str]) -> int:
    what = in_words(removed) or "nothing"
    print(f"cluster {name}: removed {what}; {len(left)} left", flush=True)
    for each in left:
        print(f"  left: {each}", file=sys.stderr)
    return 1 if left else 0


def _only_cluster(session: Session, known: Sequence[str]) -> str:
    """The one that is meant; clusters that are left behind without a daemon count too."""
    named = session.cluster_flag or os.environ.get("NETEMU_NAME", "")
    if named:
        return named
    if len(known) > 1 and DEFAULT_NAME not in known:
        raise CommandFailed(
            f"several clusters on this machine: {', '.join(known)}",
            hint=f"netemu down --name {known[0]}, or --all",
            exit_code=2,
        )
    return known[0] if len(known) == 1 else DEFAULT_NAME


@click.command(cls=Command)
@click.option("--name", default="", help="Which cluster.")
@options.output_of("json", what="For programs.")
@pass_session
def status(session: Session, /, name: str, form: str) -> int:
    """What runs, and how far each node has come. Exit code 1 when the cluster is not ready."""
    from netemu.cli.clusterstatus import print_status
    from netemu.cluster import state

    return print_status(name or _only_cluster(session, state.clusters()), form)


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def clean(dry_run: bool) -> int:
    """Remove what clusters without a daemon left on this machine; running ones stay."""
    from netemu.cluster.down import clean as clean_up

    _require_root("cleaning up")
    reports = clean_up(dry_run=dry_run)
    if not reports:
        print("nothing to clean: 0 left")
        return 0
    if not dry_run:
        return max(_print_removal(r.name, r.removed, r.left) for r in reports)
    for report in reports:
        print(f"cluster {report.name}: would remove {len(report.left)}:")
        print(*(f"  {each}" for each in report.left), sep="\n")
    return 0


def _require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise RootNeeded(what)
