"""Doing something inside a namespace, and coming back."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netemu.errors import CapabilityError, DataplaneError
from netemu.node import netns
from netemu.node.throwaway import throwaway_namespace

pytestmark = pytest.mark.netns


@pytest.fixture
def path() -> Iterator[str]:
    with throwaway_namespace() as found:
        yield found


def inode() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_inside_and_home_again(path: str) -> None:
    home = inode()
    assert netns.call_in(path, inode) == os.stat(path).st_ino != home
    assert inode() == home
    assert {netns.call_in("/proc/self/ns/net", inode) for _ in range(40)} == {home}


def test_the_thread_comes_home_after_an_error(path: str) -> None:
    def fail() -> None:
        raise OSError(errno.EINVAL, "of the function, not of the namespace")

    for _ in range(40):
        with pytest.raises(OSError, match="of the function"):
            netns.call_in(path, fail)
    workers = [netns._threads.submit(inode) for _ in range(40)]
    assert {worker.result() for worker in workers} == {inode()}


async def test_coroutines_side_by_side(path: str) -> None:
    with throwaway_namespace() as other:
        work = [netns.await_in(where, inode) for where in (path, other) * 30]
        seen = await asyncio.gather(*work)
    assert len(set(seen[::2])) == len(set(seen[1::2])) == 1
    assert seen[0] != seen[1]


def test_a_socket_stays_where_it_was_born(path: str) -> None:
    with netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as inside:
        with pytest.raises(OSError) as caught:
            inside.connect(("127.0.0.1", 1))
        assert caught.value.errno == errno.ENETUNREACH  # its lo is down


@pytest.mark.parametrize("where", ["/run/netns/no-such", "/etc/passwd"])
def test_what_is_no_namespace(where: str) -> None:
    assert not netns.is_namespace(where)
    with pytest.raises(DataplaneError, match="(open|enter) namespace"):
        netns.call_in(where, inode)


async def test_run_gives_output(path: str) -> None:
    shown = await netns.run(path, ["ip", "-br", "link"])
    assert [line.split()[0] for line in shown.decode().splitlines()] == ["lo"]
    assert await netns.run(path, ["cat"], stdin=b"in") == b"in"
    assert await netns.run(path, ["sh", "-c", "echo $WHO"], env={"WHO": "me"}) == b"me\n"


async def test_run_says_what_failed(path: str) -> None:
    with pytest.raises(DataplaneError, match=r"ip link show nope: .*does not exist"):
        await netns.run(path, ["ip", "link", "show", "nope"])
    with pytest.raises(DataplaneError, match="said on output"):
        await netns.run(path, ["sh", "-c", "echo said on output; exit 3"])
    with pytest.raises(DataplaneError, match="exit code 3"):
        await netns.run(path, ["sh", "-c", "exit 3"])
    with pytest.raises(CapabilityError, match="no-such-program is not installed"):
        await netns.run(path, ["no-such-program"])


async def test_run_has_a_time_limit(path: str) -> None:
    with pytest.raises(DataplaneError, match=r"sleep: no end after 0\.05 s"):
        await netns.run(path, ["sleep", "100"], timeout=0.05)


def test_the_mount_table_stays_as_it_was(path: str) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    netns.call_in(path, inode)
    assert Path("/proc/self/mountinfo").read_text() == before
