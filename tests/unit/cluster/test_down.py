"""`down` removes data, also what an earlier one kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from netemu.cluster import state
from netemu.cluster.down import down
from netemu.config import ClusterConfig


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterConfig:
    """A cluster of which data is left and nothing else."""
    run, data = tmp_path / "run", tmp_path / "lib"
    monkeypatch.setattr(state, "RUN_ROOT", run)
    monkeypatch.setattr(ClusterConfig, "run_dir", property(lambda self: run / self.name))
    monkeypatch.setattr(ClusterConfig, "data_dir", property(lambda self: data / self.name))
    made = ClusterConfig(name="kept")
    made.data_dir.mkdir(parents=True)
    (made.data_dir / "store.db").write_text("objects")
    return made


def test_kept_data_goes_with_a_plain_down(config: ClusterConfig, tmp_path: Path) -> None:
    report = down("kept")
    assert (report.removed, report.left) == ({"dir": 1}, ())
    assert list(tmp_path.iterdir()) == []


def test_kept_data_stays_when_it_shall(config: ClusterConfig) -> None:
    with pytest.raises(state.NoSuchCluster):
        down("kept", keep_data=True)
    assert (config.data_dir / "store.db").exists()


def test_what_is_not_there_is_said(config: ClusterConfig, tmp_path: Path) -> None:
    with pytest.raises(state.NoSuchCluster, match='"other" is not running'):
        down("other")
    assert [path.name for path in tmp_path.iterdir()] == ["lib"]
