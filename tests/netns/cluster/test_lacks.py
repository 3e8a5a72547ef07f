"""What the machine lacks is said before anything is made: which program, from which package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "iptables", "nftables", "ipset")

NETEMU = str(Path(sys.executable).with_name("netemu"))
HIDDEN = """
for directory in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
  if [ -e "$directory/$0" ]; then mount --bind /dev/null "$(readlink -f "$directory/$0")"; fi
done
exec "$@"
"""
"""Run in a mount namespace of its own: a program that is not executable is not there."""


def without(program: str, *command: str) -> subprocess.CompletedProcess[str]:
    hidden = ["unshare", "--mount", "sh", "-c", HIDDEN, program]
    return subprocess.run([*hidden, *command], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("program", "mode", "package"),
    [
        ("ip", "iptables", "iproute2"),
        ("nft", "nftables", "nftables"),
        ("nft", "flat", "nftables"),
        ("ipset", "ipvs", "ipset"),
    ],
)
def test_up_names_the_missing_program_and_its_package(
    program: str, mode: str, package: str
) -> None:
    done = without(program, NETEMU, "up", "--name", "lacking", "--proxy-mode", mode)
    assert done.returncode == 3, done.stdout + done.stderr
    assert program in done.stderr.splitlines()[0], done.stderr
    assert f"try: apt install {package}" in done.stderr
    assert not Path("/run/netemu/lacking").exists()


def test_doctor_says_all_that_is_missing() -> None:
    done = without("ip", NETEMU, "doctor")
    assert done.returncode == 3
    assert "ip: try: apt install iproute2" in done.stdout


def test_a_path_without_sbin_is_enough() -> None:
    """As after a plain `su`."""
    done = subprocess.run(
        [NETEMU, "doctor"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "is not installed" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
