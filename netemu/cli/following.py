"""One object as it is now and after every change: what every waiting command stands on."""

from __future__ import annotations

import time
from collections.abc import Iterator

from netemu.api.kind import Object
from netemu.cli.api import Api
from netemu.cli.targets import Target, typed
from netemu.errors import ApiError


def follow(api: Api, target: Target, *, timeout: float) -> Iterator[Object | None]:
    """The object, and again after each change; None while it does not exist.

    Lists and watches, and starts over when the server ends the watch or has compacted its history.
    Raises TimeoutError when `timeout` seconds have passed; 0 gives the object once before that.
    """
    deadline = time.monotonic() + timeout
    query: dict[str, str | None] = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        listed = api.get(target.collection, query)
        items = listed.get("items") or []
        yield typed(items[0], target.resource) if items else None
        started = {**query, "resourceVersion": str(listed["metadata"]["resourceVersion"])}
        try:
            yield from _changes(api, target, started, deadline)
        except ApiError as error:
            if error.reason not in ("Expired", "Gone"):
                raise


def _changes(
    api: Api, target: Target, query: dict[str, str | None], deadline: float
) -> Iterator[Object | None]:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    for event, obj in api.watch(target.collection, query, timeout=remaining):
        if event != "BOOKMARK":
            yield None if event == "DELETED" else typed(obj, target.resource)
        if time.monotonic() >= deadline:
            raise TimeoutError


def wait_gone(api: Api, target: Target, uid: str, *, timeout: float) -> None:
    """Until the object with `uid` is gone; a new one of the same name is another object."""
    for obj in follow(api, target, timeout=timeout):
        if obj is None or (uid and obj["metadata"].get("uid") != uid):
            return
