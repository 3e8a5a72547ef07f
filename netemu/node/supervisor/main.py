"""Entry of the supervisor process: `python -S -I -c BOOT DIRECTORY CGROUP`.

The launcher forks process 1 of a new PID namespace, prints `PID STARTTIME` of it as seen by whoever
launched it, and `ready` once it serves. Until it reads a byte from its input it does nothing: an
end of input means that nobody wrote it into a ledger, and it goes.
pid_namespaces(7)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import sys

from netemu.node.supervisor import kernel, view
from netemu.node.supervisor.cgroups import Cgroups
from netemu.node.supervisor.connection import Server, listen
from netemu.node.supervisor.loop import Loop
from netemu.node.supervisor.starter import Starter
from netemu.node.supervisor.supervisor import Supervisor

IDLE_SECONDS = 30.0
"""Without pods and without a client for that long, the supervisor ends: nobody wants it."""


def main(arguments: list[str]) -> None:
    directory, group = arguments
    ready, child_ready = os.pipe()
    kernel.unshare(kernel.NEWPID)
    pid = os.fork()
    if pid:
        os.close(child_ready)
        os.write(1, f"{pid} {start_time(pid)}\n".encode())
        if os.read(ready, 1) != b"1":
            sys.exit(f"the supervisor ended at its start; see {directory}/supervisor.log")
        os.write(1, b"ready\n")
        os._exit(0)
    os.close(ready)
    if os.read(0, 1) != b"1":
        os._exit(1)
    _claim(directory)
    _detach(directory)
    _run(directory, group, child_ready)


def _claim(directory: str) -> None:
    """Be the only one there; the lock is held until this process ends."""
    lock = os.open(f"{directory}/supervisor.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"a supervisor already runs in {directory}")


def _detach(directory: str) -> None:
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(f"{directory}/supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, number in ((null, 0), (null, 1), (log, 2)):
        os.dup2(source, number)
    os.chdir("/")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(directory: str, group: str, ready: int) -> None:
    base = view.prepare(f"{directory}/base", (__file__, sys.base_prefix))
    base.overlay = _overlay_works(base)
    groups = Cgroups(group)
    loop = Loop()
    supervisor = Supervisor(loop, Starter(base), groups)
    server = Server(loop, listen(f"{directory}/supervisor.sock"), supervisor.handle)
    supervisor.serve(server)
    _watch_children(loop, supervisor)
    _end_when_idle(loop, supervisor, server)
    os.write(ready, b"1")
    os.close(ready)
    loop.after(0.02, lambda: view.link_applets(base))
    loop.run()
    _end_everything()
    groups.remove_all()
    os._exit(0)


def _end_everything() -> None:
    """Kill every process of this PID namespace but ourselves, and wait for them."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _overlay_works(base: view.Base) -> bool:
    """Try it once: `/` may be an overlay of overlays already, or the kernel may lack it."""
    pid = os.fork()
    if not pid:
        try:
            kernel.unshare(kernel.NEWNS)
            kernel.mount("tmpfs", base.layer, "tmpfs")
            for name in ("upper", "work", "root"):
                os.mkdir(f"{base.layer}/{name}")
            options = f"lowerdir=/,upperdir={base.layer}/upper,workdir={base.layer}/work"
            kernel.mount("overlay", f"{base.layer}/root", "overlay", options=options)
            os.setxattr(f"{base.layer}/upper", "trusted.overlay.opaque", b"y")
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _watch_children(loop: Loop, supervisor: Supervisor) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: setattr(loop, "running", False))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wake(_events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(reader, 4096)
        supervisor.reap()

    loop.watch(reader, wake)


def _end_when_idle(loop: Loop, supervisor: Supervisor, server: Server) -> None:
    def check() -> None:
        if supervisor.idle and not server.connections:
            loop.running = False
        else:
            loop.after(IDLE_SECONDS, check)

    loop.after(IDLE_SECONDS, check)


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat: with the PID it names a process for good."""
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[19])
