"""What a container uses: processor time and memory of all its processes, from /proc.

A container's processes are those of its control group, or, without one, its process 1. Time of
processes that have ended is with those that waited for them. proc(5)
cgroups(7), proc(5)
"""

from __future__ import annotations

import os

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(pid: int, cgroups: list[str]) -> tuple[int, int]:
    """(nanoseconds of processor time so far, bytes of memory now)."""
    time = memory = 0
    for member in _members(pid, cgroups):
        try:
            with open(f"/proc/{member}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        time += sum(map(int, fields[11:15])) * _TICK
        memory += int(fields[21]) * _PAGE
    return time, memory


def _members(pid: int, cgroups: list[str]) -> list[int]:
    for directory in cgroups:
        try:
            with open(f"{directory}/cgroup.procs") as procs:
                return [int(line) for line in procs]
        except OSError:
            continue
    return [pid]
