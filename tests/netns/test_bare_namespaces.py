"""Namespaces made by one thread for others: beside them, beforehand, and not at all."""

from __future__ import annotations

import errno
import gc
import os
import time
from collections.abc import Callable, Iterator

import pytest

from netemu.errors import DataplaneError
from netemu.node import bare_namespaces
from netemu.node.bare_namespaces import BareNamespaces
from netemu.node.network_observe import observe_links

pytestmark = pytest.mark.netns


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes of the namespaces in the order in which they were made."""
    inodes: list[int] = []
    plain = bare_namespaces.make_namespace

    def make() -> bare_namespaces.Bare:
        bare = plain()
        inodes.append(os.fstat(bare.descriptor).st_ino)
        return bare

    monkeypatch.setattr(bare_namespaces, "make_namespace", make)
    return inodes


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Nothing that was opened stays open."""
    gc.collect()  # what other tests left to it
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.usefixtures("descriptors")
def test_as_many_as_asked_for_each_with_a_loopback_that_is_up(made: list[int]) -> None:
    with BareNamespaces() as namespaces:
        taken = list(namespaces.take(40))
    assert [os.fstat(bare.descriptor).st_ino for bare in taken] == made
    for bare in taken:
        assert [link.name for link in observe_links(bare.netlink).values() if link.up] == ["lo"]
        bare.close()
    assert len(set(made)) == 40


@pytest.mark.usefixtures("descriptors")
def test_some_are_kept_once_nobody_waits_and_serve_the_next(made: list[int]) -> None:
    with BareNamespaces(keep=3) as namespaces:
        assert not made
        next(namespaces.take(1)).close()
        until(lambda: len(made) == 4)
        kept = made[1:]
        taken = list(namespaces.take(3))
        assert [os.fstat(bare.descriptor).st_ino for bare in taken] == kept
        for bare in taken:
            bare.close()


@pytest.mark.usefixtures("descriptors")
def test_a_refusal_reaches_who_asked_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, refused = bare_namespaces.make_namespace, OSError(errno.ENOSPC, "no namespaces left")

    def refuse() -> bare_namespaces.Bare:
        raise refused

    with BareNamespaces(keep=2) as namespaces:
        monkeypatch.setattr(bare_namespaces, "make_namespace", refuse)
        with pytest.raises(DataplaneError, match="create namespace: .*no namespaces left"):
            next(namespaces.take(5))
        monkeypatch.setattr(bare_namespaces, "make_namespace", plain)
        for bare in namespaces.take(5):
            bare.close()


@pytest.mark.usefixtures("descriptors")
def test_the_maker_sleeps_while_enough_wait_for_their_pods(
    made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the processor from the thread that links them."""
    rests: list[float | None] = []
    with BareNamespaces(keep=100) as namespaces:
        next(namespaces.take(1)).close()
        until(lambda: len(made) > 1)  # nobody has asked for a while
        plain = namespaces._changed.wait

        def wait(timeout: float | None = None) -> bool:
            rests.append(timeout)
            return plain(timeout)

        monkeypatch.setattr(namespaces._changed, "wait", wait)
        asked = namespaces.take(60)
        first = next(asked)
        until(lambda: len(namespaces._made) >= 32 and bool(rests))
        assert set(rests) == {None}
        first.close()
        asked.close()
        monkeypatch.undo()
