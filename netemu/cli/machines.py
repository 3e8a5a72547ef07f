"""Nodes and outside hosts from the command line: where they are, and commands in their networks.

A machine is a network namespace (`ip netns exec CLUSTER.NODE` works too). A command run through
here also sees the machine's own name, its resolver and a /sys of its network.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.cli.nearest import nearest
from netemu.cli.session import RUN_ROOT, not_running

NETNS = "/run/netns"
CLONE_NEWUTS = 0x04000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`role` is node or host; `addresses` one a family, IPv4 first."""

    name: str
    role: str
    netns: str
    addresses: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.role}/{self.name}"


def machines(cluster: str) -> list[Machine]:
    """All machines on the cluster's underlay, as its fabric has written them down."""
    return [
        Machine(
            name=name,
            role=entry["role"],
            netns=f"{NETNS}/{cluster}.{name}",
            addresses=tuple(entry["addresses"]),
        )
        for name, entry in (_fabric(cluster).get("machines") or {}).items()
    ]


def find(cluster: str, kind: str, name: str) -> Machine:
    """The machine that `kind` (node, nodes, host …) and `name` say."""
    role = kind.removesuffix("s")
    known = [machine for machine in machines(cluster) if machine.role == role]
    for machine in known:
        if machine.name == name:
            return machine
    names = [machine.name for machine in known]
    near = nearest(name, names)
    mean = f'; did you mean "{near}"?' if near else ""
    listed = ", ".join(names) or "none"
    raise CommandFailed(f'no {role} "{name}" in cluster "{cluster}"{mean} ({role}s: {listed})')


def pod_netns(cluster: str, node: str, namespace: str, name: str) -> str:
    """Path of a pod's network namespace: by name, or where unnamed ones are kept."""
    full = f"{cluster}.{namespace}.{name}"
    if len(full) > 200:
        import hashlib

        full = f"{full[:183]}-{hashlib.sha256(full.encode()).hexdigest()[:16]}"
    named = f"{NETNS}/{full}"
    return named if os.path.exists(named) else f"{RUN_ROOT}/{cluster}/nodes/{node}/netns/{full}"


def enter_and_run(cluster: str, kind: str, name: str, command: Sequence[str]) -> int:
    """Become `command` on that machine; returns only when it cannot be run (126, 127)."""
    machine = find(cluster, kind, name)
    if os.geteuid() != 0:
        raise RootNeeded(f"a command on {machine.label}")
    enter(machine.netns, hostname=machine.name, nameserver=_nameserver(cluster), cluster=cluster)
    try:
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        raise CommandFailed(
            f"exec: {command[0]!r}: executable file not found in $PATH", exit_code=127
        ) from None
    except PermissionError:
        raise CommandFailed(f"exec: {command[0]!r}: permission denied", exit_code=126) from None


def enter(netns: str, *, hostname: str, nameserver: str, cluster: str) -> None:
    """Move this process: the machine's network, its name, /sys and /etc/resolv.conf."""
    from netemu.node import syscalls

    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(descriptor)
    os.close(descriptor)
    syscalls.unshare(syscalls.CLONE_NEWNS | CLONE_NEWUTS)
    socket.sethostname(hostname)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    _mount_sys()
    if nameserver and os.path.exists("/etc/resolv.conf"):
        own = _resolv_conf(cluster, nameserver)
        syscalls.mount(own, os.path.realpath("/etc/resolv.conf"), flags=syscalls.MS_BIND)


def _mount_sys() -> None:
    """/sys/class/net shows the network that was current when it was mounted, as `ip netns` does."""
    from netemu.node import syscalls

    kept = "/sys/fs/cgroup"
    cgroups = os.open(kept, os.O_PATH) if os.path.isdir(kept) else -1
    try:
        syscalls.unmount("/sys", syscalls.MNT_DETACH)
        syscalls.mount("netemu", "/sys", "sysfs")
        if cgroups >= 0:
            source = f"/proc/self/fd/{cgroups}"
            syscalls.mount(source, kept, flags=syscalls.MS_BIND | syscalls.MS_REC)
    except OSError:
        pass  # in a container /sys may not be ours to mount; the network works all the same
    finally:
        if cgroups >= 0:
            os.close(cgroups)


def _nameserver(cluster: str) -> str:
    subnet = _fabric(cluster).get("nodeSubnet")
    return str(ip_network(subnet)[1]) if subnet else ""


def _resolv_conf(cluster: str, nameserver: str) -> str:
    """In the cluster's run directory, so that it goes with the cluster."""
    path = f"{RUN_ROOT}/{cluster}/resolv.conf"
    content = f"nameserver {nameserver}\n"
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w") as file:
        file.write(content)
    os.rename(temporary, path)
    return path


def _fabric(cluster: str) -> dict[str, Any]:
    path = f"{RUN_ROOT}/{cluster}/fabric.json"
    try:
        with open(path) as file:
            found: dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        raise not_running(cluster, f"{path} does not exist") from None
    except PermissionError:
        raise RootNeeded(f"the cluster's network ({path})") from None
