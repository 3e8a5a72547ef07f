from __future__ import annotations

from pathlib import Path

import pytest

from netemu.node.supervisor.view import inside


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data", "/data"),
        ("a/./b//c", "/a/b/c"),
        ("../../etc", "/etc"),
        ("/absolute/x", "/target/x"),
        ("/relative/x", "/dir/x"),
        ("/up/x", "/x"),
        ("/chain/x", "/target/x"),
        ("/dir/back", "/dir"),
    ],
)
def test_no_path_leads_out_of_the_root(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "absolute").symlink_to("/target")
    (tmp_path / "relative").symlink_to("dir")
    (tmp_path / "up").symlink_to("../../..")
    (tmp_path / "chain").symlink_to("absolute")
    (tmp_path / "dir" / "back").symlink_to("../dir")
    assert inside(str(tmp_path), path) == f"{tmp_path}{expected}"


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many symbolic links"):
        inside(str(tmp_path), "a/x")
