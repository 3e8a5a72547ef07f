"""`netemu scale` and `autoscale`."""

from __future__ import annotations

import click

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.discovery import Served
from netemu.cli.failures import CommandFailed
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import Target


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME…")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="The new number.")
@click.option("--current-replicas", type=int, default=-1, help="Only when it is this now.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--all", "everything", is_flag=True, help="All of the type.")
@pass_session
def scale(
    session: Session,
    /,
    resources: tuple[str, ...],
    replicas: int,
    current_replicas: int,
    labels: str,
    everything: bool,
) -> None:
    """Set the number of replicas of a workload."""
    asked = _selected(session, resources, labels, everything)
    for target in asked:
        if "scale" not in target.resource.subresources:
            raise CommandFailed(
                f"cannot scale {target}: {target.resource.plural} have no number of replicas"
            )
        path = f"{target.path}/scale"
        if current_replicas >= 0:
            now = (session.api.get(path).get("spec") or {}).get("replicas", 0)
            if now != current_replicas:
                raise CommandFailed(f"Expected replicas to be {current_replicas}, was {now}")
        session.api.patch(path, {"spec": {"replicas": replicas}})
        print(f"{target} scaled")


def _selected(
    session: Session, words: tuple[str, ...], labels: str, everything: bool
) -> list[Target]:
    if not labels and not everything:
        return targets.named(session.discovery, words, session.namespace)
    found = [
        targets.of_object(target.resource, item, session.namespace)
        for target in targets.parse(session.discovery, words, session.namespace)
        for item in targets.objects(session.api, target, labels=labels)
    ]
    if not found:
        raise CommandFailed("no objects passed to scale")
    return found


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME")
@click.option("--max", "highest", type=click.IntRange(min=1), required=True, help="Upper limit.")
@click.option("--min", "lowest", type=click.IntRange(min=1), default=1, help="Lower limit.")
@click.option(
    "--cpu-percent",
    type=int,
    default=80,
    show_default=True,
    help="Average use of the requested CPU to aim at.",
)
@click.option("--name", default="", help="Name of the HorizontalPodAutoscaler.")
@pass_session
def autoscale(
    session: Session,
    /,
    resources: tuple[str, ...],
    highest: int,
    lowest: int,
    cpu_percent: int,
    name: str,
) -> None:
    """Create a HorizontalPodAutoscaler for a workload."""
    if lowest > highest:
        raise click.UsageError("--max must be larger or equal to --min")
    target = targets.one(session.discovery, resources, session.namespace)
    session.api.get(target.path)
    scalers = session.discovery.find("horizontalpodautoscalers.v2.autoscaling")
    obj = _autoscaler(scalers, target, name or target.name, lowest, highest, cpu_percent)
    session.api.post(scalers.path(target.namespace), obj)
    print(f"{scalers.named(name or target.name)} autoscaled")


def _autoscaler(
    scalers: Served, target: Target, name: str, lowest: int, highest: int, percent: int
) -> Object:
    return {
        "apiVersion": scalers.api_version,
        "kind": scalers.kind,
        "metadata": {"name": name, "namespace": target.namespace},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": target.resource.api_version,
                "kind": target.resource.kind,
                "name": target.name,
            },
            "minReplicas": lowest,
            "maxReplicas": highest,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": percent},
                    },
                }
            ],
        },
    }
