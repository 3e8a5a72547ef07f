"""The watches on a store that lives in this process: each commit is handed out as it happens."""

from __future__ import annotations

from collections.abc import Sequence

from netemu.store.protocol import Deliver, Event


class Watches:
    """Hands the events of a commit to those who watch a prefix of their keys."""

    def __init__(self) -> None:
        self._watches: list[_Watch] = []

    def add(self, prefix: str, deliver: Deliver) -> _Watch:
        watch = _Watch(self, prefix, deliver)
        self._watches.append(watch)
        return watch

    def remove(self, watch: _Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)

    def publish(self, events: Sequence[Event]) -> None:
        for watch in tuple(self._watches):
            found = [event for event in events if event.key.startswith(watch.prefix)]
            if found:
                watch.deliver(found)


class _Watch:
    def __init__(self, owner: Watches, prefix: str, deliver: Deliver) -> None:
        self._owner, self.prefix, self.deliver = owner, prefix, deliver

    def cancel(self) -> None:
        self._owner.remove(self)
