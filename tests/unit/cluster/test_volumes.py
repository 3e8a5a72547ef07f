"""Only the cluster's own volume directories are ever removed."""

from __future__ import annotations

from netemu.cluster.volumes import VolumeDirectories


async def test_a_volume_goes_and_its_neighbours_stay(tmp_path):
    root = tmp_path / "volumes"
    for name in ("pvc-1", "pvc-2"):
        (root / name / "deep").mkdir(parents=True)
        (root / name / "deep" / "file").write_text("data")
    await VolumeDirectories(root).reclaim(str(root / "pvc-1"))
    assert [found.name for found in root.iterdir()] == ["pvc-2"]


async def test_nothing_outside_is_touched(tmp_path):
    root = tmp_path / "volumes"
    root.mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (root / "link").symlink_to(precious)
    volumes = VolumeDirectories(root)
    for path in (precious, root, root / "..", root / "link", root / "a" / ".." / ".." / "precious"):
        await volumes.reclaim(str(path))
    assert precious.exists()
    assert root.exists()
