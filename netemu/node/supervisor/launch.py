"""From a fork to a container's command: namespaces, file view, rights, exec.

`child` runs in a process that was just forked into its new PID namespace and never returns. What
goes wrong before exec is written to `report` as JSON, so the supervisor knows a command that could
not start from one that ended.
namespaces(7), capabilities(7), execve(2)
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import json
import os
import resource
import termios

from netemu.node.supervisor import kernel, view
from netemu.node.supervisor.wire import Message

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/dev/busybox"
_HANDLED = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGTERM, _signal.SIGINT, _signal.SIGCHLD)
"""What Python or the supervisor handle. `_signal` has no enums, which cost 0.2 ms after a fork."""
_LONGEST = 300
"""Characters of a message: as JSON, 12 bytes each at most, it is read in one piece."""


class Refused(Exception):
    """Why a container's command did not start; `code` is the exit code Kubernetes shows."""

    def __init__(self, message: str, code: int = 128) -> None:
        super().__init__(message)
        self.code = code


class Streams:
    """Descriptors that become 0, 1 and 2; `terminal` if they are one."""

    __slots__ = ("stdin", "stdout", "stderr", "terminal")

    def __init__(self, stdin: int, stdout: int, stderr: int, terminal: bool = False) -> None:
        self.stdin, self.stdout, self.stderr, self.terminal = stdin, stdout, stderr, terminal


class Spaces:
    """Namespaces to enter, as descriptors (-1: a new one, or the supervisor's for `net`)."""

    __slots__ = ("net", "uts", "ipc")

    def __init__(self, net: int, uts: int = -1, ipc: int = -1) -> None:
        self.net, self.uts, self.ipc = net, uts, ipc


def child(
    spec: Message, base: view.Base, spaces: Spaces, pod: Message, streams: Streams, report: int
) -> None:
    """Become the container's command; never returns."""
    try:
        _session(streams)
        _join_cgroups(spec)
        _enter_spaces(spaces, pod)
        _set_kernel_parameters(spec)
        view.enter(base, spec, pod.get("files") or {})
        if spec.get("pause"):
            _pause(report)
        _become(spec)
    except BaseException as error:  # this process has nobody to raise to
        fail(report, error)


def exec_child(
    spec: Message, target: int, streams: Streams, report: int, cgroups: list[str]
) -> None:
    """Run one more command in the namespaces of the process behind the pidfd `target`."""
    try:
        _session(streams)
        _write_cgroups(cgroups)
        kernel.setns(target, kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWNET)
        _become(spec)
    except BaseException as error:
        fail(report, error)


def fail(report: int, error: BaseException) -> None:
    code = error.code if isinstance(error, Refused) else 128
    message = str(error) or repr(error)
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 100]}…{message[-99:]}"
    os.write(report, json.dumps({"message": message, "code": code}).encode())
    os._exit(min(code, 255))


def _session(streams: Streams) -> None:
    os.setsid()
    for number, source in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        os.dup2(source, number)
    if streams.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in _HANDLED:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.set_wakeup_fd(-1)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    os.umask(0o022)


def _join_cgroups(spec: Message) -> None:
    _write_cgroups(spec.get("cgroups") or [])


def _write_cgroups(directories: list[str]) -> None:
    for directory in directories:
        with open(f"{directory}/cgroup.procs", "w") as members:
            members.write("0")


def _enter_spaces(spaces: Spaces, pod: Message) -> None:
    if spaces.net >= 0:
        kernel.setns(spaces.net, kernel.NEWNET)
    new = kernel.NEWNS
    if spaces.uts >= 0:
        kernel.setns(spaces.uts, kernel.NEWUTS)
        kernel.setns(spaces.ipc, kernel.NEWIPC)
    else:
        new |= kernel.NEWUTS | kernel.NEWIPC
    kernel.unshare(new)
    if spaces.uts < 0:
        kernel.sethostname(pod.get("hostname") or "localhost")


def _set_kernel_parameters(spec: Message) -> None:
    """sysctls of the namespaces that were just entered (sysctl(5))."""
    for name, value in (spec.get("sysctls") or {}).items():
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            with open(path, "w") as parameter:
                parameter.write(value)
        except OSError as error:
            raise Refused(f"open {path}: {_reason(error)}") from error


def _become(spec: Message) -> None:
    environment = {"PATH": DEFAULT_PATH, **(spec.get("env") or {})}
    _enter_directory(spec)
    program = find_program(spec["argv"][0], environment["PATH"])
    _limit_rights(spec)
    environment.setdefault("HOME", "/root" if not spec.get("user") else "/")
    try:
        os.execve(program, spec["argv"], environment)
    except OSError as error:
        raise Refused(f'exec: "{spec["argv"][0]}": {_reason(error)}', _exit_code(error)) from error


def _enter_directory(spec: Message) -> None:
    """Go to the working directory; one that is missing is made, as runc does."""
    directory = spec.get("cwd") or "/"
    try:
        os.makedirs(directory, exist_ok=True)
        os.chdir(directory)
    except OSError as error:
        raise Refused(f"chdir to cwd ({json.dumps(directory)}): {_reason(error)}") from error


def find_program(name: str, path: str) -> str:
    """The file that `name` runs, as execvp finds it; the texts are runc's."""
    if not name:
        raise Refused('exec: "": executable file not found in $PATH', 127)
    if "/" in name:
        if not os.path.exists(name):
            raise Refused(f'exec: "{name}": stat {name}: no such file or directory', 127)
        if os.path.isdir(name) or not os.access(name, os.X_OK):
            raise Refused(f'exec: "{name}": permission denied', 126)
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Refused(f'exec: "{name}": executable file not found in $PATH', 127)


def _limit_rights(spec: Message) -> None:
    for name, (soft, hard) in (spec.get("rlimits") or {}).items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    if "oom_score_adj" in spec:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write(str(spec["oom_score_adj"]))
    if not spec.get("privileged"):
        kernel.drop_bounding(_kept_capabilities(spec))
    user, group = int(spec.get("user") or 0), int(spec.get("group") or 0)
    os.setgroups([int(number) for number in spec.get("groups") or ()])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if spec.get("no_new_privs"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _kept_capabilities(spec: Message) -> frozenset[str]:
    dropped = frozenset(spec.get("cap_drop") or ())
    added = frozenset(spec.get("cap_add") or ())
    everything = frozenset(kernel.CAPABILITIES)
    kept = frozenset() if "ALL" in dropped else kernel.DEFAULT_CAPABILITIES - dropped
    return everything - dropped if "ALL" in added else kept | added


def _pause(report: int) -> None:
    """Process 1 of a shared PID namespace: reap until told to end (Kubernetes' pause)."""
    os.close(report)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # children are reaped by the kernel
    _signal.signal(_signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        _signal.pause()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _exit_code(error: OSError) -> int:
    return 127 if error.errno == errno.ENOENT else 126 if error.errno == errno.EACCES else 128
