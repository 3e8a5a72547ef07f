"""`netemu wait --for=condition=…|delete|create|jsonpath=…`, as kubectl's, and then the barrier.

https://kubernetes.io/docs/reference/kubectl/generated/kubectl_wait/
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import click

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.durations import DURATION
from netemu.cli.failures import CommandFailed
from netemu.cli.following import follow
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.settle import barrier
from netemu.cli.targets import Target
from netemu.errors import ApiError

Check = Callable[[Object | None], bool]


@click.command(cls=ObjectCommand)
@click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME… | TYPE/NAME…")
@click.option(
    "--for",
    "goal",
    required=True,
    help="condition=NAME[=VALUE], delete, create, or jsonpath={PATH}[=VALUE].",
)
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="0: look once.")
@click.option("-l", "--selector", "labels", default="", help="Label selector.")
@click.option("--field-selector", "fields", default="", help="Field selector.")
@click.option("--all", "everything", is_flag=True, help="All of the type.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@pass_session
def wait(
    session: Session,
    /,
    resources: tuple[str, ...],
    goal: str,
    timeout: float,
    labels: str,
    fields: str,
    everything: bool,
    all_namespaces: bool,
) -> None:
    """Wait until a condition holds, and every node has programmed it."""
    check = parse_goal(goal)
    scope = "" if all_namespaces else session.namespace
    deadline = time.monotonic() + timeout
    asked = _targets(session, resources, scope, labels, fields, everything, goal)
    for target in asked:
        if goal.lower() == "delete" and _is_missing(session, target):
            continue
        if not _met(session, target, check, deadline, goal):
            raise CommandFailed(
                f"timed out waiting for the condition on {target.resource.plural}/{target.name}"
            )
        print(f"{target} condition met", flush=True)
    barrier(session.api, timeout=max(deadline - time.monotonic(), 10.0))


def _is_missing(session: Session, target: Target) -> bool:
    try:
        session.api.get(target.path)
    except ApiError as error:
        if error.reason == "NotFound":
            return True
        raise
    return False


def _targets(
    session: Session,
    words: tuple[str, ...],
    scope: str,
    labels: str,
    fields: str,
    everything: bool,
    goal: str,
) -> list[Target]:
    found: list[Target] = []
    for target in targets.parse(session.discovery, words, scope):
        if target.name:
            found.append(target)
            continue
        if not (labels or fields or everything):
            raise click.UsageError(
                "resource(s) were provided, but no name, label selector, or --all"
            )
        items = targets.objects(session.api, target, labels=labels, fields=fields)
        found += [targets.of_object(target.resource, item, scope) for item in items]
    if not found and goal != "delete":
        raise CommandFailed("no matching resources found")
    return found


def _met(session: Session, target: Target, check: Check, deadline: float, goal: str) -> bool:
    """Whether the check holds before the deadline; a missing object is an error at once."""
    try:
        for obj in follow(session.api, target, timeout=deadline - time.monotonic()):
            if check(obj):
                return True
            if obj is None and goal not in ("delete", "create"):
                session.api.get(target.path)
    except TimeoutError:
        return False
    except ApiError as error:
        if error.reason == "NotFound" and goal == "delete":
            return True
        raise
    return False


def parse_goal(goal: str) -> Check:
    """What `--for` asks for, as a test of the object."""
    if goal.lower() == "delete":
        return lambda obj: obj is None
    if goal.lower() == "create":
        return lambda obj: obj is not None
    kind, _, rest = goal.partition("=")
    if kind.lower() == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda obj: _condition_is(obj, name, value or "true")
    if kind.lower() == "jsonpath" and rest:
        return _jsonpath(rest)
    raise click.UsageError(f'unrecognized condition: "{goal}"')


def _condition_is(obj: Object | None, name: str, value: str) -> bool:
    """Names and values without regard to case; a status that is behind its spec doesn't count."""
    if obj is None:
        return False
    status = obj.get("status") or {}
    generation = (obj.get("metadata") or {}).get("generation", 0)
    if status.get("observedGeneration", generation) < generation:
        return False
    for condition in status.get("conditions") or ():
        if str(condition.get("type", "")).lower() == name.lower():
            if condition.get("observedGeneration", generation) < generation:
                return False
            return str(condition.get("status", "")).lower() == value.lower()
    return False


def _jsonpath(text: str) -> Check:
    from netemu.cli.jsonpath import find, text_of

    match = re.fullmatch(r"['\"]?(\{.*?\}|[^={]+)['\"]?(?:=['\"]?(.*?)['\"]?)?", text)
    if match is None:
        raise click.UsageError(f"jsonpath wait format must be jsonpath={{PATH}}=VALUE: {text}")
    path, wanted = match[1].strip("{}"), match[2]

    def check(obj: Object | None) -> bool:
        values = find(path, obj) if obj is not None else []
        if wanted is None:
            return bool(values) and values[0] not in (None, "", [], {})
        return len(values) == 1 and text_of(values[0]) == wanted

    return check
