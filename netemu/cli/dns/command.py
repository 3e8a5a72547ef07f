"""The commands of `netemu dns`.

https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netemu.cli.lazy import Group
from netemu.cli.session import Command, ObjectCommand, Session, pass_session

if TYPE_CHECKING:
    from netemu.api.resource import Object

_KINDS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "Pod": "/api/v1/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
}


@click.group(cls=Group)
def dns() -> None:
    """Look names up as a pod would, and see why they exist or do not."""


@dns.command(cls=Command)
@click.option(
    "--objects",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE|DIR",
    help="Services, EndpointSlices, Namespaces and Pods in YAML or JSON.",
)
@click.option(
    "--corefile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CoreDNS's."
)
@click.option(
    "--listen",
    multiple=True,
    default=("127.0.0.1:1053",),
    show_default=True,
    metavar="ADDR:PORT",
    help="Instead of port 53.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, help="Processes that share the port."
)
def serve(
    objects: tuple[Path, ...], corefile: Path | None, listen: tuple[str, ...], workers: int
) -> int:
    """Serve objects from files over DNS, without a cluster."""
    import argparse

    from netemu.dns import logging_format
    from netemu.dns.__main__ import listen_address
    from netemu.dns.process import Options, run

    logging_format.configure("INFO")
    try:
        addresses = tuple(listen_address(text) for text in listen)
    except argparse.ArgumentTypeError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
    return run(Options(objects=objects, corefile=corefile, listen=addresses, workers=workers))


@dns.command(cls=ObjectCommand)
@click.argument("name")
@click.argument("kind", metavar="[TYPE]", default="", required=False)
@click.option(
    "--from", "source", default="", metavar="POD", help="Ask from this pod, node/ or host/."
)
@click.option("-s", "--nameserver", default="", metavar="ADDR[:PORT]", help="Ask this server.")
@click.option("--domain", default="", help="The cluster's domain.  [default: its own]")
@click.option(
    "--resolver",
    "model",
    type=click.Choice(["glibc", "musl", "go"]),
    default="glibc",
    show_default=True,
    help="Whose search order.",
)
@click.option("--ndots", type=click.IntRange(0, 15), help="Instead of the pod's own (5).")
@click.option("--tcp", is_flag=True, help="TCP at once.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@pass_session
def query(
    session: Session,
    /,
    name: str,
    kind: str,
    source: str,
    nameserver: str,
    domain: str,
    model: str,
    ndots: int | None,
    tcp: bool,
    output: str,
) -> int:
    """Look NAME up as a pod's resolver does, and show each step.

    It asks for A and AAAA, or for TYPE.

    An address is looked up by its PTR name.

    With --from, queries leave from that pod, with its own resolv.conf. With -s alone they leave
    from here, with the search list of namespace -n. Exit code 1 when nothing is found.
    """
    from dataclasses import replace

    from netemu.cli.dns import answers
    from netemu.cli.dns.resolver import find_resolver
    from netemu.dns import wire
    from netemu.dns.asking import Asker
    from netemu.dns.stub import walk

    if not kind and _pointer(name) != name:
        name, kind = _pointer(name), "PTR"
    try:
        types = [wire.type_number(kind)] if kind else [wire.A, wire.AAAA]
        wire.from_text(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    resolver, open_, port = find_resolver(session, source, nameserver, domain)
    if ndots is not None:
        resolver = replace(resolver, ndots=ndots)
    asker = Asker(resolver, open_, port=port, tcp=tcp, model=model)
    done = walk(model, name, types, resolver, asker.ask)
    if output == "json":
        print(json.dumps(answers.as_json(done), indent=2))
    else:
        print("\n".join(answers.render(done, model, resolver)))
    return 0 if done.found else 1


@dns.command("explain", cls=ObjectCommand)
@click.argument("name")
@click.option(
    "--objects",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="FILE|DIR",
    help="Objects from files instead of the cluster's.",
)
@click.option("--domain", default="", help="The cluster's domain.  [default: its own]")
@click.option(
    "--pods",
    type=click.Choice(["disabled", "insecure", "verified"]),
    default="insecure",
    show_default=True,
    help="The Corefile's setting.",
)
@pass_session
def explain_(
    session: Session, /, name: str, objects: tuple[Path, ...], domain: str, pods: str
) -> int:
    """Say which object makes NAME exist, or which missing one would. Exit code 1 for NXDOMAIN."""
    from netemu.cli.dns.resolver import DOMAIN, cluster_domain
    from netemu.dns import wire
    from netemu.dns.explain import explain

    try:
        wire.from_text(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    domain = domain or (DOMAIN if objects else cluster_domain(session))
    found = explain(_pointer(name), _objects(session, objects), domain=domain, pods=pods)
    state = {True: "exists", None: "exists without records, or is not ours", False: "NXDOMAIN"}
    print(f"{found.name}  {state[found.exists]}")
    for line in found.lines:
        print(f"  {line}")
    return 1 if found.exists is False else 0


def _pointer(name: str) -> str:
    """The reverse name of an address; other names as they are."""
    try:
        return f"{ip_address(name).reverse_pointer}."
    except ValueError:
        return name


def _objects(session: Session, paths: Sequence[Path]) -> list[Object]:
    if paths:
        from netemu.dns.source.files import read_objects

        return [obj for path in paths for obj in read_objects(path)]
    return [
        {"kind": kind, **item}
        for kind, path in _KINDS.items()
        for item in session.api.get(path).get("items") or ()
    ]
