"""Who is plugged into a cluster's underlay: written before it is made, read to adopt it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netemu.node import netns
from netemu.node.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricState:
    """`node_subnet` empty: there was no fabric yet."""

    node_subnet: str = ""
    machines: tuple[Machine, ...] = ()
    pool_node: str = ""
    """The node that load balancers' addresses lead to."""


def load(path: Path, cluster: str) -> FabricState:
    """The state that a former daemon of `cluster` left at `path`."""
    if not path.exists():
        return FabricState()
    saved = json.loads(path.read_text())
    return FabricState(
        node_subnet=saved["nodeSubnet"],
        pool_node=saved.get("poolNode", ""),
        machines=tuple(
            Machine(
                name=name,
                role=entry["role"],
                netns=netns.path_of(f"{cluster}.{name}"),
                addresses=tuple(entry["addresses"]),
                port=entry["port"],
            )
            for name, entry in saved["machines"].items()
        ),
    )


def save(path: Path, node_subnet: str, machines: Iterable[Machine], *, pool_node: str = "") -> None:
    """Write it so that a reader sees the old state or the new one."""
    entries = {
        machine.name: {
            "role": machine.role,
            "addresses": list(machine.addresses),
            "port": machine.port,
        }
        for machine in machines
    }
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    saved = {"nodeSubnet": node_subnet, "machines": entries, "poolNode": pool_node}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(saved))
    temporary.rename(path)
