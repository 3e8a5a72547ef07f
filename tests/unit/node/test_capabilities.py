from __future__ import annotations

import os
from pathlib import Path

import pytest

from netemu.errors import CapabilityError
from netemu.node import capabilities, programs


def test_every_lack_has_a_hint() -> None:
    found = capabilities.probe()
    assert all(each.hint for each in found if not each.present)
    assert {each.name for each in found} >= set(capabilities.REQUIRED)


def test_root_is_what_it_is() -> None:
    (root,) = [each for each in capabilities.probe() if each.name == "root"]
    assert root.present == (os.geteuid() == 0)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(capabilities.PROGRAMS, "no-such-program", "nothing")
    monkeypatch.setitem(programs.PACKAGES, "no-such-program", "no-such-package")
    with pytest.raises(CapabilityError, match=r"lacks no-such-program \(nothing\)") as caught:
        capabilities.require("no-such-program")
    assert caught.value.hint == "apt install no-such-package"


def test_every_program_has_a_package() -> None:
    assert capabilities.PROGRAMS.keys() <= programs.PACKAGES.keys()
    tried = {c.split()[0] for f in capabilities.FEATURES.values() for c in f.commands}
    assert tried <= programs.PACKAGES.keys()


def test_what_is_there_is_no_error() -> None:
    capabilities.require("ip")


def test_iptables_names_the_back_end_that_the_machine_has_chosen(tmp_path: Path) -> None:
    program = tmp_path / "iptables-restore"
    program.write_text("#!/bin/sh\necho 'iptables-restore v1.8.9 (legacy)'\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        (found,) = [x for x in capabilities.probe() if x.name == "iptables-restore"]
    assert found.detail.startswith(f"{program} (legacy, the machine's choice: full syncs")


def test_a_full_table_of_neighbours_is_said(tmp_path: Path) -> None:
    stat, limit = tmp_path / "net/stat", tmp_path / "sys/net/ipv4/neigh/default"
    stat.mkdir(parents=True)
    limit.mkdir(parents=True)
    (limit / "gc_thresh3").write_text("1024\n")
    for entries, said in ((0x26, "38 of 1024, was full 17 times"), (1000, "1000 of 1024")):
        rows = "".join(f"{entries:08x} {fulls:08x}\n" for fulls in (0x10, 1))
        (stat / "arp_cache").write_text(f"entries  table_fulls\n{rows}")
        found = capabilities.neighbours(tmp_path)
        assert found.present == (entries == 0x26)
        assert found.detail.startswith(said)
    assert found.hint == "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192"


def test_a_network_namespace_of_its_own_does_not_show_the_table(tmp_path: Path) -> None:
    found = capabilities.neighbours(tmp_path)
    assert found.present and "not to be seen" in found.detail
