"""`netemu rollout status|history|undo|pause|resume|restart`, as kubectl's.

https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.api import STRATEGIC_MERGE_PATCH
from netemu.cli.durations import DURATION, WEEK
from netemu.cli.failures import CommandFailed
from netemu.cli.following import follow
from netemu.cli.lazy import Group
from netemu.cli.readiness import judge
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.cli.settle import barrier
from netemu.cli.targets import Target

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

_resources = click.argument("resources", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME…")


@click.group(cls=Group)
def rollout() -> None:
    """Manage the rollout of deployments, daemonsets and statefulsets."""


def _asked(
    session: Session, words: tuple[str, ...], kinds: tuple[str, ...] = KINDS
) -> list[Target]:
    found = targets.named(session.discovery, words, session.namespace)
    for target in found:
        if target.resource.kind not in kinds:
            raise CommandFailed(
                f"no rollout of {target.resource.plural}: only"
                f" {', '.join(kind.lower() + 's' for kind in kinds)}"
            )
    return found


@rollout.command(cls=ObjectCommand)
@_resources
@click.option("-w", "--watch/--no-watch", "watch", default=True, help="Until it is done.")
@click.option("--timeout", type=DURATION, default="0", help="How long to wait; 0: very long.")
@pass_session
def status(session: Session, /, resources: tuple[str, ...], watch: bool, timeout: float) -> None:
    """Follow a rollout until every node has programmed it."""
    for target in _asked(session, resources):
        session.api.get(target.path)
        _follow_rollout(session, target, timeout or WEEK, watch)
    if watch:
        barrier(session.api, timeout=60.0)


def _follow_rollout(session: Session, target: Target, timeout: float, watch: bool) -> None:
    shown = ""
    try:
        for obj in follow(session.api, target, timeout=timeout):
            if obj is None:
                raise CommandFailed("object has been deleted")
            verdict = judge(obj)
            if verdict.failed:
                raise CommandFailed(
                    verdict.text, hint=f"netemu rollout undo {target} -n {target.namespace}"
                )
            if verdict.text != shown:
                print(verdict.text, flush=True)
                shown = verdict.text
            if verdict.done or not watch:
                return
    except TimeoutError:
        raise CommandFailed("timed out waiting for the condition") from None


@rollout.command(cls=ObjectCommand)
@_resources
@click.option("--revision", type=int, default=0, help="Show this revision's pod template.")
@pass_session
def history(session: Session, /, resources: tuple[str, ...], revision: int) -> None:
    """Show the revisions of a workload."""
    from netemu.cli.revisions import revisions_of
    from netemu.cli.tabs import align

    for target in _asked(session, resources):
        known = revisions_of(session, target)
        if revision:
            found = next((each for each in known if each.number == revision), None)
            if found is None:
                raise CommandFailed(f"unable to find the specified revision {revision} of {target}")
            from netemu.cli.describe.podtemplate import template_text

            print(f"{target} with revision #{revision}\n{template_text(found.template)}")
            continue
        if not known:
            print(f"{target} \nNo rollout history found.")
            continue
        lines = ["REVISION\tCHANGE-CAUSE", *(f"{r.number}\t{r.cause or '<none>'}" for r in known)]
        print(f"{target} ", *align(lines), "", sep="\n")


@rollout.command(cls=ObjectCommand)
@_resources
@click.option("--to-revision", type=int, default=0, help="0: the one before.")
@pass_session
def undo(session: Session, /, resources: tuple[str, ...], to_revision: int) -> None:
    """Go back to an earlier revision."""
    from netemu.cli.revisions import previous, roll_back

    for target in _asked(session, resources):
        live = session.api.get(target.path)
        if (live.get("spec") or {}).get("paused"):
            raise CommandFailed(
                f'you cannot rollback a paused deployment; resume it first with "netemu rollout'
                f' resume {target}" and try again'
            )
        chosen = previous(session, target, to_revision)
        done = roll_back(session, target, live, chosen)
        note = (
            "rolled back"
            if done
            else (f"skipped rollback (current template already matches revision {chosen.number})")
        )
        print(f"{target} {note}")


@rollout.command(cls=ObjectCommand)
@_resources
@pass_session
def pause(session: Session, /, resources: tuple[str, ...]) -> None:
    """Let changes of a deployment wait."""
    _set_paused(session, resources, paused=True)


@rollout.command(cls=ObjectCommand)
@_resources
@pass_session
def resume(session: Session, /, resources: tuple[str, ...]) -> None:
    """Roll a paused deployment's changes out."""
    _set_paused(session, resources, paused=False)


def _set_paused(session: Session, words: tuple[str, ...], *, paused: bool) -> None:
    for target in _asked(session, words, ("Deployment",)):
        live = session.api.get(target.path)
        now = bool((live.get("spec") or {}).get("paused"))
        if now == paused:
            state = "already paused" if paused else "not paused"
            raise CommandFailed(f'{target.resource.qualified} "{target.name}" is {state}')
        session.api.patch(target.path, {"spec": {"paused": paused or None}})
        print(f"{target} {'paused' if paused else 'resumed'}")


@rollout.command(cls=ObjectCommand)
@_resources
@pass_session
def restart(session: Session, /, resources: tuple[str, ...]) -> None:
    """Replace all pods of a workload, as its strategy allows."""
    for target in _asked(session, resources):
        live = session.api.get(target.path)
        if (live.get("spec") or {}).get("paused"):
            raise CommandFailed(f"can't restart paused deployment (run rollout resume {target})")
        session.api.patch(target.path, _restarted(), kind=STRATEGIC_MERGE_PATCH)
        print(f"{target} restarted")


def _restarted() -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}
