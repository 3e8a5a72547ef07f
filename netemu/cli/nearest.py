"""What somebody may have meant by a word that is none of those known."""

from __future__ import annotations

from collections.abc import Sequence


def nearest(word: str, known: Sequence[str], *, cutoff: float = 0.6) -> str:
    """The known word that is most like `word`, or "" when none is."""
    import difflib  # only when somebody has mistyped

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), "")
