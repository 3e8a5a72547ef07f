"""After a change: wait until workloads are available and every data plane holds what was applied.

"Applied" means "packets flow": each node's proxy and overlay, and the resolver, report the revision
that they have programmed, and the barrier waits for all of them. No sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.failures import CommandFailed
from netemu.cli.following import follow_all
from netemu.cli.progress import Progress
from netemu.cli.readiness import Verdict, is_workload, judge, why_not_ready
from netemu.cli.session import Session
from netemu.cli.targets import Target
from netemu.errors import ApiError

BARRIER = "/netemu/v1/barrier"
ANSWER_SECONDS = 10.0
"""What the server gets to answer after a barrier's own timeout."""
REASONS_SHOWN = 3


def settle(session: Session, applied: Sequence[Target], *, timeout: float) -> None:
    """Wait for the workloads among `applied` and then for the barrier; says what it waited for.

    Raises CommandFailed, which names what is not available and why, when `timeout` seconds pass.
    """
    workloads = [target for target in applied if is_workload(target.resource.kind)]
    deadline = time.monotonic() + timeout
    with Progress() as progress:
        for group in _by_collection(workloads):
            wait_available(session, group, deadline, progress)
        progress.step("waiting for the nodes and the resolver")
        reached = barrier(session.api, timeout=max(deadline - time.monotonic(), 1.0))
        progress.done(_summary(len(workloads), reached, progress.elapsed))


def _by_collection(targets: Sequence[Target]) -> list[list[Target]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.collection, []).append(target)
    return list(groups.values())


def barrier(api: Api, *, timeout: float, revision: int = 0) -> Object:
    """`{"revision": N, "components": {NAME: REVISION}}` when all have programmed `revision`."""
    query = {"timeout": f"{timeout:.3f}", "revision": str(revision) if revision else None}
    return api.request("POST", BARRIER, query=query, timeout=timeout + ANSWER_SECONDS)


def wait_available(
    session: Session, targets: Sequence[Target], deadline: float, progress: Progress
) -> None:
    """Until all `targets` of one collection are available, with one watch for all of them.

    A workload that cannot become available ends the wait at once.
    """
    waiting = {
        target.name: (target, Verdict(False, f"{target}: not looked at yet")) for target in targets
    }
    first = targets[0]
    try:
        remaining = deadline - time.monotonic()
        for name, obj in follow_all(session.api, first, waiting, timeout=remaining):
            if name not in waiting:
                continue
            target = waiting[name][0]
            if obj is None:
                raise CommandFailed(f"{target} was deleted meanwhile")
            verdict = judge(obj)
            if verdict.failed:
                raise _unavailable(session, target, "failed", verdict)
            waiting[name] = (target, verdict)
            if verdict.done:
                del waiting[name]
                if not waiting:
                    return
            progress.step(_waiting_text([verdict for _, verdict in waiting.values()]))
    except TimeoutError:
        target, verdict = next(iter(waiting.values()))
        more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
        raise _unavailable(session, target, f"is not available in time{more}", verdict) from None


def _waiting_text(verdicts: Sequence[Verdict]) -> str:
    more = f" (and {len(verdicts) - 1} more)" if len(verdicts) > 1 else ""
    return verdicts[0].text + more


def _unavailable(session: Session, target: Target, why: str, verdict: Verdict) -> CommandFailed:
    details = "".join(f"\n  {line}" for line in _reasons(session.api, target))
    return CommandFailed(
        f"{target} {why}: {verdict.text}{details}",
        hint=f"netemu describe {target.resource.plural} {target.name} -n {target.namespace}",
    )


def _reasons(api: Api, target: Target) -> list[str]:
    """What holds up the pods of a workload that did not become available."""
    try:
        spec = api.get(target.path).get("spec") or {}
        labels = (spec.get("selector") or {}).get("matchLabels")
        if target.resource.kind == "Pod" or not labels:
            return []
        pods = f"/api/v1/namespaces/{target.namespace}/pods"
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())}
        items = api.get(pods, query).get("items") or []
    except ApiError:
        return []
    unready = [item for item in items if not judge({"kind": "Pod"} | item).done]
    lines = [_why(api, item) for item in unready[:REASONS_SHOWN]]
    more = len(unready) - REASONS_SHOWN
    return lines + ([f"and {more} more pods"] if more > 0 else [])


def _why(api: Api, pod: Object) -> str:
    """What the pod's status says, and the last warning about it."""
    name, space = pod["metadata"]["name"], pod["metadata"]["namespace"]
    about = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
    try:
        found = api.get(f"/api/v1/namespaces/{space}/events", {"fieldSelector": about})
    except ApiError:
        found = {}
    warnings = sorted(found.get("items") or (), key=lambda each: each.get("lastTimestamp") or "")
    said = f" ({warnings[-1]['reason']}: {warnings[-1]['message']})" if warnings else ""
    return f"pod/{name}: {why_not_ready(pod)}{said}"


def _summary(workloads: int, reached: Object, seconds: float) -> str:
    components = reached.get("components") or {}
    others = ("dns/", "controllers/")
    nodes = {name.partition("/")[0] for name in components if not name.startswith(others)}
    resolvers = sum(name.startswith("dns/") for name in components)
    parts = [_count(workloads, "workload") + " available"] if workloads else []
    who = [_count(len(nodes), "node")] if nodes else []
    who += [_count(resolvers, "resolver")] if resolvers else []
    if who:
        verb = "hold" if len(nodes) + resolvers > 1 else "holds"
        parts.append(f"{' and '.join(who)} {verb} revision {reached.get('revision')}")
    return f"ready: {', '.join(parts) or 'nothing to wait for'} ({seconds:.1f} s)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
