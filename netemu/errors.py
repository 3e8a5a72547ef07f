"""The one exception tree. Every error tells what failed, on what, why, and what to do next.

    NetemuError
    ├── ApiError            a Kubernetes Status, both ways (server raises it, client receives it)
    ├── ConfigError         the cluster file or a flag is wrong; all problems at once
    ├── ManifestError       a manifest is wrong: file, document, field
    ├── DataplaneError      the kernel, or a tool in front of it, refused: node, operation, errno
    ├── CapabilityError     this machine lacks a program, a kernel feature or a right
    └── TerminalError       a reconcile that must not be tried again until its object changes

Status reasons: https://kubernetes.io/docs/reference/using-api/api-concepts/#standard-api-terminology
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Sequence
from typing import Any


class NetemuError(Exception):
    """Root of all errors that netemu raises on purpose. `hint` is the next thing to try."""

    exit_code = 1
    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return self.message


REASON_CODES = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Expired": 410,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "Timeout": 504,
}


class ApiError(NetemuError):
    """A Kubernetes `Status` with status Failure; `reason` decides the HTTP code."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code if code is not None else REASON_CODES.get(reason, 500)
        self.details = details or {}

    def to_status(self) -> dict[str, Any]:
        """The error as a `v1/Status` object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status

    @classmethod
    def from_status(cls, status: dict[str, Any]) -> ApiError:
        """The error that a received `v1/Status` object stands for."""
        return cls(
            status.get("reason") or "InternalError",
            status.get("message") or "the server gave no message",
            code=status.get("code"),
            details=status.get("details"),
        )


def not_found(resource: str, name: str, group: str = "") -> ApiError:
    """`resource` is the plural, as in Kubernetes' own text: `pods "web-0" not found`."""
    full = f"{resource}.{group}" if group else resource
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    return ApiError("NotFound", f'{full} "{name}" not found', details=details)


class ConfigError(NetemuError):
    """The cluster file, an environment variable or a flag is wrong; `problems` has all of them."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class MembershipError(ConfigError):
    """This machine's part does not fit the cluster that is in etcd already."""


class ManifestError(NetemuError):
    """A manifest is wrong. `source` is `FILE` or `FILE: document 2`."""

    def __init__(self, source: str, why: str, *, hint: str = "") -> None:
        super().__init__(f"{source}: {why}", hint=hint)
        self.source = source


class DataplaneError(NetemuError):
    """The kernel, or a tool in front of it, refused `operation` on `node`."""

    def __init__(
        self, node: str, operation: str, *, errno: int = 0, stderr: str = "", hint: str = ""
    ) -> None:
        why = stderr.strip() or (os.strerror(errno) if errno else "failed")
        super().__init__(f"{node}: {operation}: {why}", hint=hint)
        self.node, self.operation, self.errno, self.stderr = node, operation, errno, stderr

    @property
    def not_found(self) -> bool:
        return self.errno in (_errno.ENOENT, _errno.ENODEV, _errno.ESRCH)

    @property
    def exists(self) -> bool:
        return self.errno == _errno.EEXIST


class CapabilityError(NetemuError):
    """This machine lacks something; `hint` says how to get it."""

    exit_code = 3


class TerminalError(NetemuError):
    """A reconcile that must not be repeated until its object changes."""
