"""Reading single fields."""

from typing import Any

import pytest

from netemu.config.fields import Problems, Section


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(2, 2.0), (1.5, 1.5), ("3", 3.0), ("200ms", 0.2), ("1m30s", 90.0), ("1h", 3600.0), ("0", 0.0)],
)
def test_durations(value: Any, seconds: float) -> None:
    problems = Problems()
    assert Section({"t": value}, "", problems).seconds("t", 9.0) == pytest.approx(seconds)
    assert not problems.found


@pytest.mark.parametrize("value", ["1sec", "s", "-1s", -1, True, [], "1s 2s"])
def test_wrong_durations_keep_the_default(value: Any) -> None:
    problems = Problems()
    assert Section({"t": value}, "", problems).seconds("t", 9.0) == 9.0
    assert problems.found[0].startswith("t: must be a duration")


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), ("false", False), ("1", True), ("YES", True)]
)
def test_flags(value: Any, flag: bool) -> None:
    assert Section({"f": value}, "", Problems()).flag("f", not flag) is flag


def test_a_section_that_is_no_map() -> None:
    problems = Problems("c.yaml")
    section = Section([1], "proxy", problems)
    assert section.text("mode", "x") == "x"
    assert problems.found == ["c.yaml: proxy: must be a map, is [1]"]


def test_a_problem_below_a_variable_is_the_variables() -> None:
    problems = Problems("c.yaml", {"networking.podSubnet": "NETEMU_POD_SUBNET"})
    problems.add("networking.podSubnet", "x")
    problems.add("networking.podSubnets", "y")
    assert problems.found == ["NETEMU_POD_SUBNET: x", "c.yaml: networking.podSubnets: y"]
