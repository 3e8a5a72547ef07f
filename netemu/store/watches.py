"""The watches on a store: each commit is handed out as it happens."""

from __future__ import annotations

from collections.abc import Sequence

from netemu.store.protocol import Deliver, Event, Lost


class Watches:
    """Hands the events of a commit to those who watch a prefix of their keys."""

    def __init__(self) -> None:
        self._watches: list[_Watch] = []

    def add(self, prefix: str, deliver: Deliver, lost: Lost | None = None) -> _Watch:
        watch = _Watch(self, prefix, deliver, lost)
        self._watches.append(watch)
        return watch

    def remove(self, watch: _Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)

    def publish(self, events: Sequence[Event]) -> None:
        """No events for a watch is a message too: the store's revision has moved."""
        for watch in tuple(self._watches):
            watch.deliver([event for event in events if event.key.startswith(watch.prefix)])

    def lost(self) -> None:
        """Events are missing before those that come next."""
        for watch in tuple(self._watches):
            if watch.lost is not None:
                watch.lost()


class _Watch:
    def __init__(self, owner: Watches, prefix: str, deliver: Deliver, lost: Lost | None) -> None:
        self._owner, self.prefix, self.deliver, self.lost = owner, prefix, deliver, lost

    def cancel(self) -> None:
        self._owner.remove(self)
