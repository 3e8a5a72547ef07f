"""Objects as they are now and after every change: what every waiting command stands on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.targets import Target, typed
from netemu.errors import ApiError


def follow(api: Api, target: Target, *, timeout: float) -> Iterator[Object | None]:
    """The object, and again after each change; None while it does not exist.

    Raises TimeoutError when `timeout` seconds have passed; 0 gives the object once before that.
    """
    for _, obj in follow_all(api, target, [target.name], timeout=timeout):
        yield obj


def follow_all(
    api: Api, collection: Target, names: Collection[str], *, timeout: float
) -> Iterator[tuple[str, Object | None]]:
    """(name, object) of each of `names` in a collection, and again after each change.

    Lists and watches, and starts over when the server ends the watch or has compacted its history.
    The caller may take names away that it has seen enough of.
    """
    deadline = time.monotonic() + timeout
    query: dict[str, str | None] = {}
    if len(names) == 1:
        query["fieldSelector"] = f"metadata.name={next(iter(names))}"
    while True:
        listed = api.get(collection.collection, query)
        present = {item["metadata"]["name"]: item for item in listed.get("items") or ()}
        for name in list(names):
            item = present.get(name)
            yield name, typed(item, collection.resource) if item is not None else None
        started = {**query, "resourceVersion": str(listed["metadata"]["resourceVersion"])}
        try:
            yield from _changes(api, collection, started, deadline)
        except ApiError as error:
            if error.reason not in ("Expired", "Gone"):
                raise


def _changes(
    api: Api, collection: Target, query: dict[str, str | None], deadline: float
) -> Iterator[tuple[str, Object | None]]:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    for event, obj in api.watch(collection.collection, query, timeout=remaining):
        if event != "BOOKMARK":
            there = None if event == "DELETED" else typed(obj, collection.resource)
            yield obj["metadata"]["name"], there
        if time.monotonic() >= deadline:
            raise TimeoutError


def wait_gone(api: Api, target: Target, uid: str, *, timeout: float) -> None:
    """Until the object with `uid` is gone; a new one of the same name is another object."""
    for obj in follow(api, target, timeout=timeout):
        if obj is None or (uid and obj["metadata"].get("uid") != uid):
            return
