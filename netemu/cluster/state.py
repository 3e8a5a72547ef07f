"""What a cluster leaves on disk, so that any later command can find, adopt or remove it.

`/run/netemu/<name>/` holds the settings the cluster was made with (`cluster.json`), its ledger, and
the identity of its daemon (`daemon.json`: pid and start time, because pids are reused; proc(5)).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path

import msgspec

from netemu.config import ClusterConfig
from netemu.errors import NetemuError
from netemu.node.ledger import Ledger
from netemu.node.netns_directory import machine_lock
from netemu.node.processes import Process

RUN_ROOT = ClusterConfig().run_dir.parent


class NoSuchCluster(NetemuError):
    """No cluster of this name has left anything on this machine."""

    def __init__(self, name: str) -> None:
        known = ", ".join(clusters()) or "none"
        super().__init__(
            f'cluster "{name}" is not running (clusters here: {known})',
            hint=f"netemu up --name {name}",
        )


def save_config(config: ClusterConfig) -> None:
    """Write `cluster.json` whole or not at all."""
    _write(config.run_dir / "cluster.json", msgspec.json.encode(config))


def keep_config(config: ClusterConfig) -> None:
    """Let the settings stay with the data: objects lean on the ranges and nodes they name."""
    with suppress(FileNotFoundError):
        settings = (config.run_dir / "cluster.json").read_bytes()
        _write(config.data_dir / "cluster.json", settings)


def kept_config(config: ClusterConfig) -> ClusterConfig | None:
    """The settings that came with kept data; None when there is none."""
    try:
        data = (config.data_dir / "cluster.json").read_bytes()
        return msgspec.json.decode(data, type=ClusterConfig)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def load_config(name: str) -> ClusterConfig:
    """The settings that cluster `name` was made with."""
    path = RUN_ROOT / name / "cluster.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterConfig)
    except FileNotFoundError:
        raise NoSuchCluster(name) from None
    except msgspec.DecodeError as error:
        raise NetemuError(f"{path}: {error}", hint=f"netemu down --name {name}") from error


def clusters() -> list[str]:
    """Names of all clusters of this machine, running or left behind."""
    if not RUN_ROOT.is_dir():
        return []
    return sorted(path.name for path in RUN_ROOT.iterdir() if path.is_dir())


def lock(name: str) -> AbstractContextManager[None]:
    """One `up`, `down` or `clean` of a cluster at a time; ends with its process, leaves no file."""
    return machine_lock(RUN_ROOT / name)


def forget(config: ClusterConfig) -> None:
    """Drop empty directories; those above the cluster's go with the last one."""
    for directory in (config.run_dir, config.run_dir.parent, config.data_dir.parent):
        with suppress(OSError):  # another cluster's, or never made
            directory.rmdir()


def record_daemon(config: ClusterConfig, pid: int) -> None:
    """Remember the daemon, in the ledger first."""
    process = Process.of(pid)
    Ledger(config.run_dir).record("process", pid=process.pid, start_time=process.start_time)
    _write(config.run_dir / "daemon.json", msgspec.json.encode([pid, process.start_time]))


def daemon(name: str) -> Process | None:
    """The daemon of `name`; None when none runs."""
    try:
        pid, started = msgspec.json.decode((RUN_ROOT / name / "daemon.json").read_bytes())
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    process = Process(pid, started)
    return process if process.alive else None


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    temporary.rename(path)
