"""What a cluster leaves on disk, so that any later command can find, adopt or remove it.

`/run/netemu/<name>/` holds the settings the cluster was made with (`cluster.json`), its ledger, and
the identity of its daemon (`daemon.json`: pid and start time, because pids are reused; proc(5)).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netemu.config import ClusterConfig
from netemu.errors import NetemuError

RUN_ROOT = Path("/run/netemu")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRecord:
    """Which process the daemon is. `start_time` is field 22 of /proc/PID/stat, clock ticks."""

    pid: int
    start_time: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start_time


def start_time(pid: int) -> int:
    """When `pid` started, in clock ticks since boot; 0 when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def save_config(config: ClusterConfig) -> None:
    """Write `cluster.json` whole or not at all."""
    _write(config.run_dir / "cluster.json", msgspec.json.encode(config))


def load_config(name: str) -> ClusterConfig:
    """The settings that cluster `name` was made with."""
    path = RUN_ROOT / name / "cluster.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterConfig)
    except FileNotFoundError:
        known = ", ".join(clusters()) or "none is running"
        raise NetemuError(
            f'cluster "{name}" not found (clusters: {known})', hint="netemu up --name " + name
        ) from None
    except msgspec.DecodeError as error:
        raise NetemuError(f"{path}: {error}", hint=f"netemu down --name {name}") from error


def clusters() -> list[str]:
    """Names of all clusters of this machine, running or left behind."""
    if not RUN_ROOT.is_dir():
        return []
    return sorted(path.name for path in RUN_ROOT.iterdir() if (path / "ledger").exists())


def save_daemon(config: ClusterConfig, pid: int) -> None:
    record = DaemonRecord(pid=pid, start_time=start_time(pid))
    _write(config.run_dir / "daemon.json", msgspec.json.encode(record))


def load_daemon(name: str) -> DaemonRecord | None:
    """The daemon's identity; None when none was ever started."""
    try:
        data = (RUN_ROOT / name / "daemon.json").read_bytes()
        return msgspec.json.decode(data, type=DaemonRecord)
    except (OSError, msgspec.DecodeError):
        return None


def daemon_alive(name: str) -> bool:
    record = load_daemon(name)
    return record is not None and record.alive


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One `up`, `down` or `clean` of a cluster at a time; the lock dies with its process."""
    RUN_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(RUN_ROOT / f".{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    temporary.rename(path)
