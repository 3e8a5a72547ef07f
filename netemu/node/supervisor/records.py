"""What the supervisor remembers of pods, containers and commands in them."""

from __future__ import annotations

import os

from netemu.node.supervisor.logs import LogFile
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netemu.node.supervisor.connection import Connection

LAZY, STARTING, RUNNING, EXITED, FAILED = "lazy", "starting", "running", "exited", "failed"
"""LAZY: a stand-in's container. Its file view is made when a command is executed in it."""


class Pod:
    """The namespaces that a pod's containers share, held open by descriptors."""

    __slots__ = ("uid", "hostname", "files", "net", "uts", "ipc", "pause")

    def __init__(self, entry: Message, net: int) -> None:
        self.uid: str = entry["uid"]
        self.hostname: str = entry.get("hostname", "")
        self.files: dict[str, str] = entry.get("files") or {}
        self.net = net
        self.uts = self.ipc = -1
        self.pause = 0
        """Process 1 of the pod's PID namespace, when its containers share one."""

    def close(self) -> None:
        for descriptor in (self.net, self.uts, self.ipc):
            if descriptor >= 0:
                os.close(descriptor)
        self.net = self.uts = self.ipc = -1


class Container:
    """One container, from its start until the kubelet says `remove`."""

    __slots__ = (
        "id", "pod", "name", "meta", "state", "pid", "started", "finished", "code", "signal",
        "message", "oom", "log", "pipes", "stdin", "terminal", "cgroups", "attached", "rights",
        "internal", "lazy", "waiting", "second", "written",
    )  # fmt: skip

    def __init__(self, spec: Message) -> None:
        self.id: str = spec["id"]
        self.pod: str = spec["pod"]
        self.name: str = spec.get("name", "")
        self.meta = spec.get("meta")
        """The kubelet's own notes: it gets them back when it reconnects."""
        self.state = STARTING
        self.pid = 0
        self.started = self.finished = 0.0
        self.code = self.signal = 0
        self.message = ""
        self.oom = False
        self.log = LogFile(spec["log"]) if spec.get("log") else None
        self.pipes: dict[int, str] = {}
        """Descriptors that we read its output from → stdout or stderr."""
        self.second = 0.0
        self.written = 0
        """Bytes that it wrote since `second`."""
        self.stdin = -1
        self.terminal = -1
        self.cgroups: list[str] = []
        self.attached: list[Attachment] = []
        self.rights = {key: spec[key] for key in RIGHTS if key in spec}
        self.internal = bool(spec.get("pause"))
        """Ours, not the kubelet's: nobody is told of it."""
        self.lazy: Message | None = None
        """The whole specification, of a container that starts at its first `exec`."""
        self.waiting: list[tuple[Connection, Message, list[int]]] = []
        """Requests to execute something as soon as it runs."""

    def describe(self) -> Message:
        return {
            "id": self.id,
            "pod": self.pod,
            "name": self.name,
            "meta": self.meta,
            "state": self.state,
            "pid": self.pid,
            "started": self.started,
            "finished": self.finished,
            "code": self.code,
            "signal": self.signal,
            "message": self.message,
            "oom": self.oom,
        }


RIGHTS = (
    "env", "cwd", "user", "group", "groups", "cap_add", "cap_drop", "privileged", "no_new_privs",
    "rlimits",
)  # fmt: skip
"""What a command executed in a container has in common with the container's own."""


class Attachment:
    """Someone who reads along: descriptors for the container's standard output and error."""

    __slots__ = ("stdout", "stderr")

    def __init__(self, stdout: int, stderr: int) -> None:
        self.stdout, self.stderr = stdout, stderr

    def feed(self, stream: str, data: bytes) -> bool:
        """Pass on; False when the reader is gone. A reader that is too slow loses output."""
        descriptor = self.stdout if stream == "stdout" else self.stderr
        try:
            os.write(descriptor, data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def close(self) -> None:
        for descriptor in {self.stdout, self.stderr}:
            os.close(descriptor)


class Command:
    """A command executed in a running container, for one client."""

    __slots__ = ("number", "client")

    def __init__(self, number: int, client: Connection) -> None:
        self.number, self.client = number, client
