"""`netemu logs`: one container's output, or that of many side by side."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.durations import DURATION
from netemu.cli.failures import api_headline
from netemu.cli.podtargets import container_of, one_pod, pods_of
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.errors import ApiError

Stream = tuple[Object, str]
"""A pod and the name of one of its containers."""


@click.command(cls=ObjectCommand)
@click.argument("resource", required=False, default="", metavar="POD | TYPE/NAME")
@click.argument("container_argument", required=False, default="", metavar="[CONTAINER]")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("--all-containers", is_flag=True, help="All containers of the pod.")
@click.option("-l", "--selector", "labels", default="", help="All pods with these labels.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-p", "--previous", is_flag=True, help="The container before its last restart.")
@click.option("--tail", type=int, default=None, help="Only the last lines; -1: all.")
@click.option("--since", type=DURATION, default=None, help="Only what is newer (5s, 2m, 3h).")
@click.option("--since-time", default="", help="Only what is newer than this RFC 3339 time.")
@click.option("--timestamps", is_flag=True, help="The time before each line.")
@click.option("--limit-bytes", type=int, default=None, help="At most so many bytes.")
@click.option("--prefix", is_flag=True, help="Pod and container before each line.")
@click.option("--ignore-errors", is_flag=True, help="Go on when one of several cannot be read.")
@pass_session
def logs(
    session: Session,
    /,
    resource: str,
    container_argument: str,
    container: str,
    all_containers: bool,
    labels: str,
    follow: bool,
    prefix: bool,
    ignore_errors: bool,
    **options: Any,
) -> int:
    """Print the logs of a container."""
    if bool(resource) == bool(labels):
        raise click.UsageError("expected 'logs [-f] POD', 'logs TYPE/NAME' or -l SELECTOR")
    pods = pods_of(session, "", labels) if labels else [one_pod(session, resource)]
    streams = _streams(pods, container or container_argument, all_containers)
    query = _query(follow, labels=bool(labels), **options)
    if len(streams) == 1 or not follow:
        return _one_by_one(session.api, streams, query, prefix, ignore_errors)
    return _side_by_side(session, streams, query, prefix)


def _streams(pods: list[Object], container: str, everything: bool) -> list[Stream]:
    if not everything:
        return [(pod, container_of(pod, container)) for pod in pods]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [
        (pod, each["name"])
        for pod in pods
        for kind in kinds
        for each in pod["spec"].get(kind) or ()
    ]


def _query(
    follow: bool,
    *,
    labels: bool,
    previous: bool,
    tail: int | None,
    since: float | None,
    since_time: str,
    timestamps: bool,
    limit_bytes: int | None,
) -> dict[str, str | None]:
    if tail is None and labels:
        tail = 10
    if since_time:
        try:
            datetime.fromisoformat(since_time).astimezone(UTC)
        except ValueError:
            raise click.UsageError(f"--since-time: {since_time!r} is not RFC 3339") from None
    return {
        "follow": "true" if follow else None,
        "previous": "true" if previous else None,
        "timestamps": "true" if timestamps else None,
        "tailLines": str(tail) if tail is not None and tail >= 0 else None,
        "sinceSeconds": str(max(1, round(since))) if since else None,
        "sinceTime": since_time or None,
        "limitBytes": str(limit_bytes) if limit_bytes else None,
    }


def _read(api: Api, stream: Stream, query: dict[str, str | None], prefix: bool) -> Iterator[bytes]:
    pod, container = stream
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    head = f"[pod/{metadata['name']}/{container}] ".encode() if prefix else b""
    for line in api.stream(path, {**query, "container": container}, accept="*/*"):
        yield head + line


def _one_by_one(
    api: Api, streams: list[Stream], query: dict[str, str | None], prefix: bool, lenient: bool
) -> int:
    for stream in streams:
        try:
            for line in _read(api, stream, query, prefix):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        except ApiError as error:
            if not lenient:
                raise
            print(api_headline(error), file=sys.stderr)
    return 0


def _side_by_side(
    session: Session, streams: list[Stream], query: dict[str, str | None], prefix: bool
) -> int:
    """A thread a stream; whole lines only."""
    lock = threading.Lock()
    failed: list[str] = []

    def copy(stream: Stream) -> None:
        try:
            for line in _read(session.api, stream, query, prefix):
                with lock:
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
        except ApiError as error:
            failed.append(api_headline(error))

    threads = [threading.Thread(target=copy, args=(s,), daemon=True) for s in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in failed:
        print(text, file=sys.stderr)
    return 1 if failed else 0
