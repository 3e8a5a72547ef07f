from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netemu.node.supervisor import kernel
from netemu.node.supervisor.launch import Refused, _kept_capabilities, find_program


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, mode in (("run", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    return tmp_path


def test_programs_are_found_on_the_path_or_by_their_own(programs: Path) -> None:
    assert find_program("run", f"/nowhere:{programs}") == f"{programs}/run"
    assert find_program(f"{programs}/run", "") == f"{programs}/run"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("", 127, "executable file not found in $PATH"),
        ("./nosuch", 127, "no such file or directory"),
        ("{dir}", 126, "permission denied"),
    ],
)
def test_a_refusal_has_kubernetes_code(programs: Path, name: str, code: int, message: str) -> None:
    with pytest.raises(Refused) as error:
        find_program(name.format(dir=programs), str(programs))
    assert error.value.code == code and message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, kernel.DEFAULT_CAPABILITIES),
        ({"cap_drop": ["ALL"]}, frozenset()),
        ({"cap_drop": ["ALL"], "cap_add": ["NET_ADMIN"]}, {"NET_ADMIN"}),
        ({"cap_add": ["ALL"]}, frozenset(kernel.CAPABILITIES)),
        ({"cap_drop": ["KILL"]}, kernel.DEFAULT_CAPABILITIES - {"KILL"}),
    ],
)
def test_capabilities(spec: dict[str, Any], expected: frozenset[str]) -> None:
    assert _kept_capabilities(spec) == expected
