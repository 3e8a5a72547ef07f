"""`netemu up`: start a cluster's daemon, or adopt a cluster whose daemon is gone, and wait for it.

The daemon says over a pipe what it does, one JSON object a line, and last `ready` or `error`. It
starts only once its ledger names it: until it reads a byte from us it has made nothing, and when we
die before that it ends by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from netemu.cluster import state
from netemu.cluster.down import remove
from netemu.cluster.preflight import check_space, existing, full_directory
from netemu.config import ClusterConfig
from netemu.errors import CapabilityError, NetemuError

Progress = Callable[[str], None]
"""Told each step as a short text: `3 nodes on 172.30.0.0/24`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpReport:
    """`seconds`: from start to ready; `adopted`: whether the cluster was there without a daemon."""

    config: ClusterConfig
    adopted: bool
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


def up(config: ClusterConfig, *, progress: Progress = lambda text: None) -> UpReport:
    """Bring `config`'s cluster up. Returns when it answers and its resolver does.

    A cluster that runs already is a NetemuError. What a dead daemon left is adopted, and what
    `down(keep_data=True)` kept comes back, each with the settings it was made with. When a first
    start fails, nothing is left.
    """
    check_space(config)
    with state.lock(config.name):
        running = state.daemon(config.name)
        if running is not None:
            raise NetemuError(
                f'cluster "{config.name}" runs already (daemon: process {running.pid})',
                hint=f"netemu down --name {config.name}, or choose another --name",
            )
        adopted = (config.run_dir / "cluster.json").exists()
        kept = state.kept_config(config)
        if adopted:
            config = state.load_config(config.name)
            progress(f'adopting cluster "{config.name}"')
        elif kept is not None:
            config = kept
            progress(f'cluster "{config.name}" comes back with the data and settings it had')
        if not adopted:
            _require_fit(config)
        try:
            if not adopted:
                state.save_config(config)
            details = _start(config, progress)
        except BaseException as error:
            full = full_directory(config)
            if not adopted:
                remove(config, keep_data=kept is not None)
            if full is not None and isinstance(error, (NetemuError, OSError)):
                raise CapabilityError(
                    f"{full}: no space left: {error}", hint=f"df -h {existing(full)}"
                ) from error
            raise
        return UpReport(
            config=state.load_config(config.name),
            adopted=adopted,
            seconds=float(details.pop("seconds", 0.0)),
            details=details,
        )


def _require_fit(config: ClusterConfig) -> None:
    if not config.etcd.servers:
        return
    from netemu.cluster.membership import require_fit  # with an etcd's client: 0.2 s to load

    try:
        require_fit(config)
    except BaseException:
        state.forget(config)
        raise


def _start(config: ClusterConfig, progress: Progress) -> dict[str, Any]:
    """Spawn the daemon and follow it until it is ready."""
    go_read, go_write = os.pipe()
    say_read, say_write = os.pipe()
    log_file = config.run_dir / "daemon.log"
    with open(log_file, "ab") as output:
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "netemu.cluster.daemon",
                config.name,
                f"{go_read}",
                f"{say_write}",
            ],
            pass_fds=(go_read, say_write),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    os.close(go_read)
    os.close(say_write)
    try:
        state.record_daemon(config, child.pid)
        os.write(go_write, b"1")
        details = _follow(say_read, progress)
    except NetemuError as error:  # its log goes with the cluster: say now what it complained of
        raise NetemuError(
            "\n".join([str(error), *_complaints(log_file)]), hint=error.hint
        ) from error
    finally:
        os.close(go_write)
    if details is None:
        code = child.wait()
        raise NetemuError(
            f"the daemon ended before it was ready (exit {code}); its log ends:\n"
            + _tail(log_file.read_text(errors="replace")),
            hint="netemu doctor",
        )
    child.returncode = 0  # it goes on without us: nothing to wait for
    return details


def _follow(descriptor: int, progress: Progress) -> dict[str, Any] | None:
    """Pass on the daemon's steps; what it says when ready, None when it ended before."""
    for message in _messages(descriptor):
        if "step" in message:
            progress(message["step"])
        elif "error" in message:
            raise NetemuError(message["error"], hint=message.get("hint", ""))
        elif "ready" in message:
            ready: dict[str, Any] = message["ready"]
            return ready
    return None


def _messages(descriptor: int) -> Iterator[dict[str, Any]]:
    with os.fdopen(descriptor, "rb") as pipe:
        for line in pipe:
            yield msgspec.json.decode(line)


def _complaints(log_file: Path, most: int = 5) -> list[str]:
    """The last warnings and errors of the daemon's log."""
    lines = log_file.read_text(errors="replace").splitlines()
    return [line for line in lines if " WARNING " in line or " ERROR " in line][-most:]


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.splitlines()[-lines:])
