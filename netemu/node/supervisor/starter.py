"""Forking containers, and commands into running ones.

The supervisor has one thread and a small heap, so fork costs 0.2 ms, and everything after it
(mounts, rights, exec) runs in the child, beside the next fork: 0.9 ms a container from one process,
where clone, mount and exec from ctypes threads needed a helper program to mount /proc.
pid_namespaces(7), pty(7)
"""

from __future__ import annotations

import fcntl
import os
import termios

from netemu.node.supervisor import kernel, launch, view
from netemu.node.supervisor.records import Container, Pod
from netemu.node.supervisor.wire import Message


class Started:
    """A forked child: its PID, where it reports a failed start, and our ends of its streams."""

    __slots__ = ("pid", "report", "stdin", "stdout", "stderr", "terminal")

    def __init__(self) -> None:
        self.pid = 0
        self.report = self.stdin = self.stdout = self.stderr = self.terminal = -1

    def close(self) -> None:
        """Nothing was forked."""
        _close(self.report, self.stdin, self.stdout, self.stderr, self.terminal)


class Starter:
    def __init__(self, base: view.Base) -> None:
        self.base = base
        self._own_pid = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self._null = os.open("/dev/null", os.O_RDWR)

    def container(self, spec: Message, pod: Pod, cgroups: list[str], pids: int) -> Started:
        """Fork one container; it runs once `report` is closed without a word.

        It joins the PID namespace of the process `pids`, or gets its own for 0.
        """
        started = Started()
        streams, ends = self._streams(spec, started)
        spec = {**spec, "cgroups": cgroups}
        spaces = launch.Spaces(pod.net, pod.uts, pod.ipc)
        facts = {"hostname": pod.hostname, "files": pod.files}
        started.report, child_report = os.pipe()
        shared = -1
        try:
            if pids:
                shared = os.pidfd_open(pids)
            started.pid = self._fork(shared)
            if not started.pid:
                launch.child(spec, self.base, spaces, facts, streams, child_report)
        except OSError:
            started.close()
            raise
        finally:
            _close(child_report, shared, *ends)
        return started

    def command(
        self, container: Container, spec: Message, fds: list[int], *, terminal: bool
    ) -> Started:
        """Fork a command into a running container, with the client's descriptors."""
        started = Started()
        if terminal:
            started.terminal, slave = self.open_terminal()
            streams = launch.Streams(slave, slave, slave, True)
            ends = [slave]
        else:
            streams = launch.Streams(fds[0], fds[1], fds[2])
            ends = []
        rights = {**container.rights, **spec}
        rights["env"] = {**(container.rights.get("env") or {}), **(spec.get("env") or {})}
        started.report, child_report = os.pipe()
        target = -1
        try:
            target = os.pidfd_open(container.pid)
            started.pid = self._fork(target)
            if not started.pid:
                launch.exec_child(rights, target, streams, child_report, container.cgroups)
        except OSError:
            started.close()
            raise
        finally:
            _close(child_report, target, *ends)
        return started

    def _fork(self, target: int) -> int:
        """Fork into the PID namespace of the process behind the pidfd `target`; a new one for -1.

        Whether that works or not, what we fork next is in our own again.
        """
        pid = -1
        try:
            if target >= 0:
                kernel.setns(target, kernel.NEWPID)
            else:
                kernel.unshare(kernel.NEWPID)
            pid = os.fork()
        finally:
            if pid:
                kernel.setns(self._own_pid, kernel.NEWPID)
        return pid

    def share(self, pod: Pod) -> None:
        """Make the UTS and IPC namespaces that several containers of a pod will enter."""
        own = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("uts", "ipc")]
        kernel.unshare(kernel.NEWUTS | kernel.NEWIPC)
        kernel.sethostname(pod.hostname)
        pod.uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
        pod.ipc = os.open("/proc/self/ns/ipc", os.O_RDONLY)
        for descriptor in own:
            kernel.setns(descriptor, 0)
            os.close(descriptor)

    def _streams(self, spec: Message, started: Started) -> tuple[launch.Streams, list[int]]:
        """What the child gets, and which of these we close after the fork."""
        if spec.get("tty"):
            started.terminal, slave = self.open_terminal()
            return launch.Streams(slave, slave, slave, True), [slave]
        stdin, ends = self._null, []
        if spec.get("stdin"):
            stdin, started.stdin = os.pipe()
            ends.append(stdin)
        if not spec.get("log"):
            return launch.Streams(stdin, self._null, self._null), ends
        started.stdout, out = os.pipe()
        started.stderr, err = os.pipe()
        return launch.Streams(stdin, out, err), [*ends, out, err]

    def open_terminal(self) -> tuple[int, int]:
        """A new terminal whose name exists in the containers' /dev/pts: (master, slave)."""
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        master = os.open(f"{self.base.devices}/pts/ptmx", flags)
        fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
        slave = fcntl.ioctl(master, _TIOCGPTPEER, flags)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x18\0\x50\0\0\0\0\0")  # 24 rows, 80 columns
        return master, slave


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
