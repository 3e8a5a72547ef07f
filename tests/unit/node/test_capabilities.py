from __future__ import annotations

import os
from pathlib import Path

import pytest

from netemu.errors import CapabilityError
from netemu.node import capabilities


def test_every_lack_has_a_hint() -> None:
    found = capabilities.probe()
    assert all(each.hint for each in found if not each.present)
    assert {each.name for each in found} >= set(capabilities.REQUIRED)


def test_root_is_what_it_is() -> None:
    (root,) = [each for each in capabilities.probe() if each.name == "root"]
    assert root.present == (os.geteuid() == 0)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(capabilities.PROGRAMS, "no-such-program", ("nothing", "no-such-package"))
    with pytest.raises(CapabilityError, match=r"lacks no-such-program \(nothing\)") as caught:
        capabilities.require("no-such-program")
    assert caught.value.hint == "apt-get install no-such-package"


def test_what_is_there_is_no_error() -> None:
    capabilities.require("ip")


def test_iptables_names_the_back_end_that_the_machine_has_chosen(tmp_path: Path) -> None:
    program = tmp_path / "iptables-restore"
    program.write_text("#!/bin/sh\necho 'iptables-restore v1.8.9 (legacy)'\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        (found,) = [x for x in capabilities.probe() if x.name == "iptables-restore"]
    assert found.detail == f"{program} (legacy)"
