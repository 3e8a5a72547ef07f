"""The comparison itself finds what a test leaves behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import host_state

pytestmark = pytest.mark.netns


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


@pytest.mark.parametrize(
    ("make", "undo", "kind"),
    [
        ("ip netns add left", "ip netns del left", "namespaces"),
        ("ip link add left type veth peer name left2", "ip link del left", "links"),
        # addresses and a table that no machine uses
        (
            "ip address add 127.83.52.7/32 dev lo",
            "ip address del 127.83.52.7/32 dev lo",
            "addresses",
        ),
        (
            "ip route add 192.0.2.0/24 dev lo table 8352",
            "ip route del 192.0.2.0/24 dev lo table 8352",
            "routes",
        ),
        ("nft add table ip left", "nft delete table ip left", "rules"),
        (
            "sysctl -qw net.ipv4.conf.lo.proxy_arp=1",
            "sysctl -qw net.ipv4.conf.lo.proxy_arp=0",
            "settings",
        ),
        ("mount -t tmpfs left /mnt", "umount /mnt", "mounts"),
        (
            "mkdir -p /run/netemu/left",
            "rmdir -p --ignore-fail-on-non-empty /run/netemu/left",
            "files",
        ),
    ],
)
def test_left_behind(make: str, undo: str, kind: str) -> None:
    before = host_state.observe()
    with host_state.names_given_back():
        sh(make)
        found = host_state.differences(before, host_state.observe())
        sh(undo)
    assert any(line.startswith(f"{kind}: left behind") for line in found)


def test_left_process() -> None:
    before = host_state.observe()
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    found = host_state.differences(before, host_state.observe())
    process.kill()
    process.wait()
    assert found == [f"processes: left behind: {process.pid} sleep 60"]


def test_unchanged() -> None:
    before = host_state.observe()
    assert host_state.differences(before, host_state.observe()) == []
    assert Path("/proc/sys/net/ipv4/ip_forward").exists()
