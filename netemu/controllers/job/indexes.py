"""The completion indexes of an Indexed Job: `0-3,7`. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

from __future__ import annotations

from collections.abc import Iterable

from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of

INDEX = "batch.kubernetes.io/job-completion-index"


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Object) -> int:
    """The pod's index; -1 when it has none."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else -1


def runs(text: str) -> list[tuple[int, int]]:
    """(first, last) of each part of `0-3,7`."""
    found = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            found.append((int(first), int(last if last.isdigit() else first)))
    return found


def parse(text: str) -> set[int]:
    return {index for first, last in runs(text) for index in range(first, last + 1)}


def render(indexes: Iterable[int]) -> str:
    """Runs of three and more are written `first-last`, pairs and singles as they are."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(
        str(run[0]) if len(run) == 1 else f"{run[0]}{',' if len(run) == 2 else '-'}{run[-1]}"
        for run in runs
    )


def next_indexes(job: Object, done: set[int], active: Iterable[Object], count: int) -> list[int]:
    """The lowest `count` indexes that are neither done nor at work."""
    taken = done | {index_of(pod) for pod in active}
    completions = int(job["spec"].get("completions") or 0)
    free = (index for index in range(completions) if index not in taken)
    return [index for index, _ in zip(free, range(count), strict=False)]
