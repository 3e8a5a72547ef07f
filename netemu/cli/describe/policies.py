"""NetworkPolicies and PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netemu.api.resource import Object
from netemu.cli.describe.page import Page, selector_text

INDENT = "    "


def write_network_policy(page: Page, policy: Object) -> None:
    spec = policy.get("spec") or {}
    page.head(policy)
    created = datetime.fromisoformat(policy["metadata"]["creationTimestamp"])
    page.field("Created on", created.astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z"))
    page.metadata(policy)
    page.line("Spec:")
    chosen = spec.get("podSelector") or {}
    nobody = "<none> (Allowing the specific traffic to all pods in this namespace)"
    page.line(f"PodSelector:     {selector_text(chosen) if chosen else nobody}", level=1)
    types = spec.get("policyTypes") or ["Ingress"] + ["Egress"] * ("egress" in spec)
    _direction(page, "ingress", "Ingress" in types, spec.get("ingress"), ("To", "From", "from"))
    _direction(page, "egress", "Egress" in types, spec.get("egress"), ("To", "To", "to"))
    page.line(f"Policy Types: {', '.join(types)}", level=1)


def _direction(
    page: Page, name: str, affected: bool, rules: Any, words: tuple[str, str, str]
) -> None:
    if not affected:
        page.line(f"Not affecting {name} traffic", level=1)
        return
    page.line(f"Allowing {name} traffic:", level=1)
    if not rules:
        page.line(f"{INDENT}<none> (Selected pods are isolated for {name} connectivity)")
    for index, rule in enumerate(rules or ()):
        if index:
            page.line(f"{INDENT}----------")
        _ports(page, rule.get("ports"), words[0])
        _peers(page, rule.get(words[2]), words[1], name)


def _ports(page: Page, ports: Any, word: str) -> None:
    if not ports:
        page.line(f"{INDENT}{word} Port: <any> (traffic allowed to all ports)")
    for port in ports or ():
        number = port.get("port", "<nil>")
        page.line(f"{INDENT}{word} Port: {number}/{port.get('protocol', 'TCP')}")


def _peers(page: Page, peers: Iterable[Mapping[str, Any]] | None, word: str, name: str) -> None:
    if not peers:
        end = "source" if name == "ingress" else "destination"
        page.line(f"{INDENT}{word}: <any> (traffic not restricted by {end})")
    for peer in peers or ():
        page.line(f"{INDENT}{word}:")
        for title, key in (
            ("NamespaceSelector", "namespaceSelector"),
            ("PodSelector", "podSelector"),
        ):
            if peer.get(key) is not None:
                page.line(f"{INDENT}  {title}: {selector_text(peer[key])}")
        block = peer.get("ipBlock")
        if block:
            page.line(f"{INDENT}  IPBlock:")
            page.line(f"{INDENT}    CIDR: {block['cidr']}")
            page.line(f"{INDENT}    Except: {', '.join(block.get('except') or ())}")


def write_disruption_budget(page: Page, budget: Object) -> None:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    page.head(budget)
    if spec.get("minAvailable") is not None:
        page.field("Min available", spec["minAvailable"])
    elif spec.get("maxUnavailable") is not None:
        page.field("Max unavailable", spec["maxUnavailable"])
    selector = spec.get("selector")
    page.field("Selector", selector_text(selector) if selector else "<unset>")
    page.line("Status:")
    for title, key in (
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ):
        page.field(title, status.get(key, 0), level=2)
