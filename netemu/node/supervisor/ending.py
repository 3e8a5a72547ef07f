"""How a process is ended, and what its end is called. signal(7), wait(2)"""

from __future__ import annotations

import contextlib
import os


def send(pid: int, number: int) -> None:
    """Signal a process; that it is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def would_ignore(pid: int, number: int) -> bool:
    """Whether process 1 of a namespace leaves this signal to a default action it doesn't get."""
    try:
        with open(f"/proc/{pid}/status") as status:
            masks = dict(line.split(":\t") for line in status if line.startswith("Sig"))
    except (OSError, ValueError):
        return False
    bit = 1 << (number - 1)
    return not any(int(masks[name], 16) & bit for name in ("SigCgt", "SigBlk", "SigIgn"))


def exit_of(status: int, meant: int = 0) -> tuple[int, int]:
    """Exit code as Kubernetes shows it, and the signal; `meant` is one we stood in for."""
    if os.WIFSIGNALED(status):
        number = meant or os.WTERMSIG(status)
        return 128 + number, number
    return os.WEXITSTATUS(status), 0
