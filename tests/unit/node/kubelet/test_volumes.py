from pathlib import Path

import pytest

from netemu.node.kubelet.volumefiles import SubPathError
from netemu.node.kubelet.volumes import _below, _sub_path, expand_sub_path

ENVIRONMENT = {"POD": "web-0", "UP": "../../etc", "ROOT": "/etc"}


def below(path: Path, **mount: str) -> str:
    return _below(path, _sub_path({"name": "v", "mountPath": "/v", **mount}, ENVIRONMENT))


def test_a_sub_path_expression_uses_the_containers_variables(tmp_path: Path) -> None:
    assert below(tmp_path, subPathExpr="logs/$(POD)") == f"{tmp_path}/logs/web-0"
    assert (tmp_path / "logs" / "web-0").is_dir()


def test_a_doubled_dollar_is_one() -> None:
    assert expand_sub_path("$$(NOPE)-$(POD)", ENVIRONMENT) == "$(NOPE)-web-0"


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(SubPathError, match="missing value for 'NOPE'"):
        expand_sub_path("$(NOPE)/$(POD)", ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "why"),
    [("$(UP)", "must not contain '..'"), ("$(ROOT)", "must not be an absolute path")],
)
def test_no_variable_leads_out_of_the_volume(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SubPathError, match=why):
        below(tmp_path, subPathExpr=text)


def test_a_link_in_the_volume_leads_to_itself_only(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc")
    assert below(tmp_path, subPath="x") == f"{tmp_path}/etc"
