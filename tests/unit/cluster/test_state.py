"""A cluster's settings survive the disk; its daemon is known by more than its pid."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from netemu.cluster import state
from netemu.config import ClusterConfig, HostConfig, ImageConfig, NodeConfig
from netemu.errors import NetemuError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterConfig:
    """A cluster whose run directory lies in `tmp_path`."""
    monkeypatch.setattr(state, "RUN_ROOT", tmp_path)
    monkeypatch.setattr(ClusterConfig, "run_dir", property(lambda self: tmp_path / self.name))
    made = ClusterConfig(name="kept")
    made.run_dir.mkdir()
    return made


def test_settings_come_back_whole(config: ClusterConfig) -> None:
    full = replace(
        config,
        nodes=(NodeConfig(name="a", labels={"zone": "x"}, proxy_mode="ipvs"),),
        hosts=(HostConfig(name="h", address="172.30.0.9", ports=(80, 443)),),
        images=(ImageConfig(pattern="my/*", command=("run", "me"), env={"A": "b"}),),
        upstream_nameservers=("192.0.2.1",),
    )
    state.save_config(full)
    assert state.load_config("kept") == full
    assert state.clusters() == ["kept"]


def test_an_unknown_cluster_names_those_there_are(config: ClusterConfig) -> None:
    with pytest.raises(
        state.NoSuchCluster, match=r'"other" is not running \(clusters here: kept\)'
    ):
        state.load_config("other")


def test_broken_settings_say_where(config: ClusterConfig) -> None:
    (config.run_dir / "cluster.json").write_text('{"name": 5}')
    with pytest.raises(NetemuError, match=r"cluster\.json: Expected `str`, got `int`"):
        state.load_config("kept")


def test_a_daemon_is_known_by_pid_and_start_time(config: ClusterConfig) -> None:
    assert state.daemon("kept") is None
    state.record_daemon(config, os.getpid())
    found = state.daemon("kept")
    assert found is not None and found.pid == os.getpid()
    (config.run_dir / "daemon.json").write_text(f"[{os.getpid()}, 1]")
    assert state.daemon("kept") is None, "the same pid, but another process"
    (config.run_dir / "daemon.json").write_text("torn")
    assert state.daemon("kept") is None
