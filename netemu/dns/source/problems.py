"""Objects that contradict themselves: each is said once, the rest is served."""

from __future__ import annotations

import logging
from collections.abc import Iterable

log = logging.getLogger(__name__)

MOST = 10_000
_said: set[str] = set()


def tell(problems: Iterable[str]) -> None:
    """Log what was not logged yet."""
    for problem in problems:
        if problem not in _said and len(_said) < MOST:
            _said.add(problem)
            log.warning(f"{problem}; this part is not served")
