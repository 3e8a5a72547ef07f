"""Evicting pods that outgrow what they were given on disk: emptyDir.sizeLimit.

As the kubelet's eviction manager does, looked at every ten seconds. One in memory cannot outgrow
its limit: that is the size of its tmpfs, and whoever writes more hears so.
https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from netemu.api import quantity
from netemu.api.kind import Object

EVICTED = "Evicted"


def limited(pod: Object) -> Iterator[tuple[str, str]]:
    """(volume, size limit) of the pod's emptyDirs that have one above zero."""
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and quantity.parse(limit) > 0:
            yield volume["name"], str(limit)


def overfull(pod: Object, paths: Mapping[str, Path]) -> str:
    """Which volume holds more than it may, as the kubelet says it; empty if none does. Blocks."""
    for name, limit in limited(pod):
        if name in paths and size_of(str(paths[name])) > quantity.parse(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    return ""


def size_of(directory: str) -> int:
    """Bytes on disk of all files below, each once; what goes meanwhile counts nothing."""
    total, seen = 0, set()
    waiting = [directory]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_ino not in seen:
                seen.add(found.st_ino)
                total += found.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return total
