"""`netemu status`: what is known of a cluster without asking its API."""

from __future__ import annotations

from dataclasses import dataclass

from netemu.cluster import state
from netemu.config import ClusterConfig
from netemu.node.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """`daemon`: its process id, 0 when none runs. `owned`: entries of the ledger by kind."""

    config: ClusterConfig
    daemon: int
    owned: dict[str, int]


def status(name: str) -> ClusterStatus:
    """The state of cluster `name`; NoSuchCluster when it has left nothing here."""
    config = state.load_config(name)
    running = state.daemon(name)
    owned: dict[str, int] = {}
    for entry in Ledger(config.run_dir).entries():
        owned[entry.kind] = owned.get(entry.kind, 0) + 1
    return ClusterStatus(config=config, daemon=running.pid if running else 0, owned=owned)
