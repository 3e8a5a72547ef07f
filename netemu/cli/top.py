"""`netemu top nodes|pods`: CPU and memory, from the API's metrics."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from netemu.api import quantity
from netemu.api.resource import Object
from netemu.cli.failures import CommandFailed
from netemu.cli.lazy import Group
from netemu.cli.session import Command, ObjectCommand, Session, pass_session
from netemu.cli.tabs import align
from netemu.errors import ApiError

METRICS = "/apis/metrics.k8s.io/v1beta1"
MIB = 1024 * 1024


@click.group(cls=Group)
def top() -> None:
    """CPU and memory of nodes and pods."""


@top.command("node", cls=Command)
@click.argument("name", required=False, default="")
@click.option("--no-headers", is_flag=True, help="No line of column names.")
@pass_session
def node(session: Session, /, name: str, no_headers: bool) -> None:
    """What each node's pods use."""
    usage = _metrics(session, f"{METRICS}/nodes", name)
    nodes = {item["metadata"]["name"]: item for item in session.api.get("/api/v1/nodes")["items"]}
    lines = [] if no_headers else ["NAME\tCPU(cores)\tCPU(%)\tMEMORY(bytes)\tMEMORY(%)"]
    for item in usage:
        status = nodes.get(item["metadata"]["name"], {}).get("status") or {}
        room = status.get("allocatable") or {}
        cpu, memory = _of(item["usage"])
        lines.append(
            "\t".join(
                (
                    item["metadata"]["name"],
                    _cores(cpu),
                    _percent(cpu, room.get("cpu")),
                    _bytes(memory),
                    _percent(memory, room.get("memory")),
                )
            )
        )
    print(*align(lines, minimum=6, padding=3), sep="\n")


@top.command("pod", cls=ObjectCommand)
@click.argument("name", required=False, default="")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--containers", is_flag=True, help="A line a container.")
@click.option("--sort-by", type=click.Choice(("", "cpu", "memory")), default="", help="Order.")
@click.option("--no-headers", is_flag=True, help="No line of column names.")
@pass_session
def pod(
    session: Session,
    /,
    name: str,
    all_namespaces: bool,
    labels: str,
    containers: bool,
    sort_by: str,
    no_headers: bool,
) -> None:
    """What each pod uses."""
    space = "" if all_namespaces else f"/namespaces/{session.namespace}"
    usage = _metrics(session, f"{METRICS}{space}/pods", name, labels)
    if sort_by:
        usage.sort(key=lambda item: -_pod_total(item)[sort_by == "memory"])
    head = ["NAMESPACE"] * all_namespaces + (["POD"] if containers else [])
    head += ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    lines = [] if no_headers else ["\t".join(head)]
    for item in usage:
        lines += _pod_lines(item, all_namespaces, containers)
    print(*align(lines, minimum=6, padding=3), sep="\n")


top.add_command(node, "nodes")
top.add_command(pod, "pods")


def _metrics(session: Session, path: str, name: str, labels: str = "") -> list[Object]:
    try:
        if name:
            return [session.api.get(f"{path}/{name}")]
        items: list[Object] = session.api.get(path, {"labelSelector": labels}).get("items") or []
    except ApiError as error:
        if error.reason == "NotFound" and not (name and error.details.get("name") == name):
            raise CommandFailed("Metrics API not available") from error
        raise
    if not items:
        raise CommandFailed("No resources found")
    return items


def _of(usage: dict[str, Any]) -> tuple[Fraction, Fraction]:
    return quantity.parse(usage.get("cpu", 0)), quantity.parse(usage.get("memory", 0))


def _pod_total(item: Object) -> tuple[Fraction, Fraction]:
    parts = [_of(container["usage"]) for container in item.get("containers") or ()]
    zero = Fraction()
    return sum((cpu for cpu, _ in parts), zero), sum((memory for _, memory in parts), zero)


def _pod_lines(item: Object, namespaced: bool, containers: bool) -> list[str]:
    metadata = item["metadata"]
    front = [metadata.get("namespace", "")] * namespaced + [metadata["name"]]
    if not containers:
        cpu, memory = _pod_total(item)
        return ["\t".join((*front, _cores(cpu), _bytes(memory)))]
    lines = []
    for container in item.get("containers") or ():
        cpu, memory = _of(container["usage"])
        lines.append("\t".join((*front, container["name"], _cores(cpu), _bytes(memory))))
    return lines


def _cores(cpu: Fraction) -> str:
    return f"{-(-cpu * 1000 // 1)}m"


def _bytes(memory: Fraction) -> str:
    return f"{int(memory // MIB)}Mi"


def _percent(value: Fraction, room: Any) -> str:
    whole = quantity.parse(room) if room is not None else Fraction()
    return f"{int(value * 100 / whole)}%" if whole else "<unknown>"
