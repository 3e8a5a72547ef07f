"""Which objects have a value: an index over an informer's objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netemu.api.kind import Object


class Index:
    """Value → keys of the objects that have it; the informer replaces object by object."""

    def __init__(self, values_of: Callable[[Object], Iterable[str]]) -> None:
        self._values_of = values_of
        self._keys: dict[str, dict[str, None]] = {}

    def keys(self, value: str) -> Iterable[str]:
        """In the order in which they got the value."""
        return self._keys.get(value, {})

    def replace(self, key: str, old: Object | None, new: Object | None) -> None:
        """The object `key` was `old` and is `new`; None where there was or is none."""
        before = set(self._values_of(old)) if old is not None else set()
        now = set(self._values_of(new)) if new is not None else set()
        for value in before - now:
            keys = self._keys.get(value, {})
            keys.pop(key, None)
            if not keys:
                self._keys.pop(value, None)
        for value in now - before:
            self._keys.setdefault(value, {})[key] = None
