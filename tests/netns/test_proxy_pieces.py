"""Very many Services in iptables mode, through either kernel interface of its programs.

iptables-nft takes them in pieces, iptables-legacy in one input: `netemu/node/iptables.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from netemu.errors import NetemuError
from netemu.netstate.iptables import parse
from netemu.node import netns, xtables
from netemu.node.proxymodes import open_backend
from netemu.node.throwaway import throwaway_namespace
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.iptables import compile_iptables
from netemu.proxy.model import Endpoint, NodeView, ServicePort

pytestmark = pytest.mark.needs("iptables")


@pytest.fixture
def path() -> Iterator[str]:
    with throwaway_namespace() as found:
        yield found


@pytest.fixture(params=[xtables.NFT, xtables.LEGACY])
def back_end(
    request: pytest.FixtureRequest, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """iptables' programs speak one of the two interfaces, whatever the machine has chosen."""
    programs = Path(shutil.which("iptables") or "").resolve().parent
    infix = {xtables.NFT: "nft", xtables.LEGACY: "legacy"}[request.param]
    for name in ("iptables", "iptables-restore", "iptables-save"):
        (tmp_path / name).symlink_to(programs / f"xtables-{infix}-multi")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    try:
        netns.run_blocking(path, ["iptables-save", "-t", "nat"])
    except NetemuError as error:
        pytest.skip(f"the kernel has no such iptables: {error}")
    assert xtables.back_end() == request.param


async def test_very_many_services_come_and_go_in_pieces(path: str, back_end: None) -> None:
    """More chains than iptables-restore takes well at once: all of them get there, and go."""
    view = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
    endpoints = tuple(Endpoint(f"10.244.2.{n}", 8080, "node-2") for n in range(1, 6))
    decision = Decision(endpoints, (), True)
    ports = [
        ServicePort(namespace="d", name=f"s{n:03}", cluster_ip=f"10.96.1.{n}", port=80)
        for n in range(1, 255)
    ]
    services = {f"d/{port.name}": (Service(port, decision),) for port in ports}
    backend = open_backend("iptables", path)
    await backend.replace(services, view)
    whole = compile_iptables([s for key in sorted(services) for s in services[key]], view)
    assert len(whole["nat"]) > 1500
    assert await _rule_counts(path) == {chain: len(rules) for chain, rules in whole["nat"].items()}
    first = dict(list(services.items())[:2])
    again = open_backend("iptables", path)  # another process's view: the kernel tells what is there
    await again.replace(first, view)
    few = compile_iptables([s for key in sorted(first) for s in first[key]], view)
    assert await _rule_counts(path) == {chain: len(rules) for chain, rules in few["nat"].items()}
    await again.clean()
    again.close()
    backend.close()


async def _rule_counts(path: str) -> dict[str, int]:
    """How many rules each of the proxy's chains in the table nat has."""
    tables = parse((await netns.run(path, ["iptables-save", "-t", "nat"])).decode())
    return {c: len(rules) for c, rules in tables["nat"].items() if c.startswith("KUBE-")}
