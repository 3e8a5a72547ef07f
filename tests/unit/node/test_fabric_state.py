from __future__ import annotations

from pathlib import Path

from netemu.node import fabric_state
from netemu.node.fabric_state import FabricState
from netemu.node.machine import HOST, NODE, Machine


def machine(name: str, role: str, *addresses: str, port: int) -> Machine:
    return Machine(
        name=name, role=role, netns=f"/run/netns/demo.{name}", addresses=addresses, port=port
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    machines = (
        machine("node-1", NODE, "172.30.4.2", "fd00:172:30:4::2", port=16),
        machine("client", HOST, "192.0.2.9", "fd00:172:30:4::c000:209", port=17),
    )
    path = tmp_path / "demo" / "fabric.json"
    fabric_state.save(path, "172.30.4.0/24", machines, pool_node="node-1")
    assert fabric_state.load(path, "demo") == FabricState(
        node_subnet="172.30.4.0/24", machines=machines, pool_node="node-1"
    )
    assert [file.name for file in path.parent.iterdir()] == ["fabric.json"]


def test_nothing_there(tmp_path: Path) -> None:
    assert fabric_state.load(tmp_path / "none", "demo") == FabricState()
