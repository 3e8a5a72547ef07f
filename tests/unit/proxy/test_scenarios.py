"""Every scenario, in every mode, by the packet tracer: no root, no packets."""

from __future__ import annotations

import re

import pytest

from scenarios import scenario

ALL = list(scenario.every())


def test_there_are_scenarios() -> None:
    assert len(ALL) >= 60


def test_the_readme_names_every_one() -> None:
    text = (scenario.HERE / "README.md").read_text().partition("## What covers what")[2]
    named = set(re.findall(r"`([\w-]+)`", text))
    assert named == {case.name for case in ALL}


@pytest.mark.parametrize("mode", scenario.MODES)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_flows(case: object, mode: str) -> None:
    for step in case.steps:  # type: ignore[attr-defined]
        sources = {
            node: scenario.sources_of(mode, step.services(node), step.view(node))
            for node in scenario.NODES
        }
        memory: dict[str, set[str]] = {}
        for flow in step.flows:
            if mode not in flow.modes or "tracer" not in flow.witnesses:
                continue
            rules, host = sources[flow.via]
            outcomes = scenario.trace_flow(flow, rules, host, memory)
            assert scenario.told(flow, outcomes) == (flow.verdict, dict(flow.endpoints)), flow.line
            if flow.sticky:
                again = scenario.trace_flow(flow, rules, host, memory)
                assert {o.endpoint for o in again} == {outcomes[0].endpoint}, flow.line
