"""The command: which objects, and which page for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.api import Api
from netemu.cli.describe import generic, node, pod, policies, service, workloads
from netemu.cli.describe.events import events_of, write_events
from netemu.cli.describe.page import Page
from netemu.cli.failures import api_headline
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.targets import Target
from netemu.errors import ApiError

NO_EVENTS = ("ConfigMap", "Secret", "Namespace", "NetworkPolicy")
"""Kinds whose page kubectl ends without events."""

Describer = Callable[[Page, Api, Object], None]


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, metavar="TYPE [NAME…] | TYPE/NAME…")
@click.option("-f", "--filename", "files", multiple=True, help="Objects that a manifest names.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--show-events/--hide-events", default=True, help="With the events about it.")
@pass_session
def describe(
    session: Session,
    /,
    resources: tuple[str, ...],
    files: tuple[str, ...],
    all_namespaces: bool,
    labels: str,
    show_events: bool,
) -> int:
    """Show an object with all that belongs to it."""
    asked = _targets(session, resources, files, "" if all_namespaces else session.namespace)
    status, pages = 0, []
    for target in asked:
        try:
            for obj in _objects(session.api, target, labels):
                pages.append(page_of(session.api, obj, show_events=show_events))
        except ApiError as error:
            print(api_headline(error), file=sys.stderr)
            status = 1
    if pages:
        sys.stdout.write("\n\n".join(pages))
    elif not status:
        where = "" if all_namespaces else f" in {session.namespace} namespace."
        print(f"No resources found{where}", file=sys.stderr)
    return status


def page_of(api: Api, obj: Object, *, show_events: bool = True) -> str:
    """The whole text about one object."""
    page = Page()
    kind = obj["kind"]
    _DESCRIBERS.get(kind, _generic)(page, api, obj)
    if show_events and kind not in NO_EVENTS:
        write_events(page, events_of(api, obj, "" if kind == "Pod" else kind))
    return page.text()


def _targets(
    session: Session, words: Sequence[str], files: Sequence[str], namespace: str
) -> list[Target]:
    if not files:
        return targets.parse(session.discovery, words, namespace)
    from netemu.cli.fromfiles import targets_in

    return targets_in(session, files)


def _objects(api: Api, target: Target, labels: str) -> list[Object]:
    """A name that nothing has is taken as the beginning of names, as kubectl does."""
    try:
        return list(targets.objects(api, target, labels=labels))
    except ApiError as error:
        if error.reason != "NotFound" or not target.name:
            raise
        everything = Target(resource=target.resource, namespace=target.namespace)
        found = [
            obj
            for obj in targets.objects(api, everything)
            if obj["metadata"]["name"].startswith(target.name)
        ]
        if not found:
            raise
        return found


def _generic(page: Page, api: Api, obj: Object) -> None:
    generic.write_generic(page, obj)


def _pod(page: Page, api: Api, obj: Object) -> None:
    pod.write_pod(page, obj)


def _service(page: Page, api: Api, obj: Object) -> None:
    metadata = obj["metadata"]
    slices = service.slices_of(api, metadata["namespace"], metadata["name"])
    service.write_service(page, obj, slices)


def _node(page: Page, api: Api, obj: Object) -> None:
    name = obj["metadata"]["name"]
    node.write_node(page, obj, node.lease_of(api, name), node.pods_of(api, name))


def _deployment(page: Page, api: Api, obj: Object) -> None:
    metadata = obj["metadata"]
    path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/replicasets"
    workloads.write_deployment(page, obj, workloads.owned(api, path, metadata["uid"]))


def _with_pods(write: Callable[[Page, Object, str], None]) -> Describer:
    return lambda page, api, obj: write(page, obj, workloads.pods_status(api, obj))


def _alone(write: Callable[[Page, Object], None]) -> Describer:
    return lambda page, api, obj: write(page, obj)


_DESCRIBERS: dict[str, Describer] = {
    "ConfigMap": _alone(generic.write_config_map),
    "CronJob": _alone(workloads.write_cron_job),
    "DaemonSet": _with_pods(workloads.write_daemon_set),
    "Deployment": _deployment,
    "Endpoints": _alone(service.write_endpoints),
    "EndpointSlice": _alone(service.write_endpoint_slice),
    "Job": _alone(workloads.write_job),
    "Namespace": _alone(generic.write_namespace),
    "NetworkPolicy": _alone(policies.write_network_policy),
    "Node": _node,
    "Pod": _pod,
    "PodDisruptionBudget": _alone(policies.write_disruption_budget),
    "ReplicaSet": _with_pods(workloads.write_replica_set),
    "ReplicationController": _with_pods(workloads.write_replica_set),
    "Secret": _alone(generic.write_secret),
    "Service": _service,
    "StatefulSet": _with_pods(workloads.write_stateful_set),
}
