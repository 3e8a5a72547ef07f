"""How a command ends badly: what is printed, and the exit code (0 to 4, as `netemu --help` says).

    0   done
    1   the thing checked is false, the server refused, or the command inside failed
    2   usage: a flag, the cluster file
    3   this machine lacks something: root, a program, a kernel feature
    4   a defect of netemu

`exec` passes the inner command's own code on.
"""

from __future__ import annotations

import errno

from netemu.errors import ApiError, CapabilityError, ManifestError, NetemuError

DONE, FAILED, USAGE, MACHINE, DEFECT = range(5)
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE: the reader of our output has gone (`netemu get pods | head -1`)."""


class CommandFailed(NetemuError):
    """A command could not do what was asked. `exit_code` is 1 unless told."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = FAILED) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class ClusterNotRunning(NetemuError):
    """Nobody answers on the cluster's socket."""


class RootNeeded(CapabilityError):
    """The cluster's socket and the kernel's networks are root's."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} needs root", hint="run it with sudo")


def describe_failure(error: NetemuError) -> str:
    """The text for people: kubectl's form for API errors, `error: …` and a hint for the rest."""
    lines = [_headline(error)]
    if isinstance(error, ApiError):
        lines += _api_hint(error)
    if error.hint:
        lines.append(f"try: {error.hint}")
    return "\n".join(lines)


def _headline(error: NetemuError) -> str:
    if isinstance(error, ApiError):
        return api_headline(error)
    text = str(error)
    if isinstance(error, ManifestError) or "\n" not in text:
        return f"error: {text}"
    problems = text.splitlines()
    return "\n".join([f"error: {len(problems)} problems:", *(f"  - {each}" for each in problems)])


def api_headline(error: ApiError) -> str:
    """`Error from server (NotFound): pods "x" not found`; an invalid object lists its causes."""
    if error.reason == "Invalid":
        return _invalid(error)
    return f"Error from server ({error.reason}): {error.message}"


def _invalid(error: ApiError) -> str:
    """kubectl's text: one cause on the line, several below each other."""
    details = error.details
    causes = details.get("causes") or []
    if not details.get("kind") or not causes:
        return f"The request is invalid: {error.message}"
    head = f'The {details["kind"]} "{details.get("name", "")}" is invalid:'
    texts = [f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in causes]
    if len(texts) == 1:
        return f"{head} {texts[0]}"
    return "\n".join([f"{head} ", *(f"* {text}" for text in texts)])


def _api_hint(error: ApiError) -> list[str]:
    if error.reason == "Timeout" and error.details.get("kind") == "barrier":
        return ["try: netemu status"]
    return []


def from_os_error(error: OSError) -> NetemuError:
    """What an operating system error means to a user."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return CommandFailed(f"no space left on the disk{where}", hint="df -h")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CapabilityError(
            f"permission denied{where}", hint="netemu works on the kernel's networks: use sudo"
        )
    return CommandFailed(f"{error.strerror or error}{where}")
