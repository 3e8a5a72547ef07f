"""One certificate authority and one token key for all API servers on one etcd.

Whoever comes first puts its own into the store, by a create-if-absent; the others take them from
there. They lie beside the objects, not among them: no API client can read or delete them, and who
can read etcd has the cluster anyway. Each server's own certificate stays with it.
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import msgspec

from netemu.apiserver.auth.pki import Pki, write_secret
from netemu.store.protocol import Row, Store, StoreError

KEY = "/registry/netemu/keys"
_FILES = ("ca.key", "ca.crt", "sa.key")


async def share_keys(store: Store, directory: Path) -> None:
    """Let `directory` hold the cluster's keys; StoreError when the store is another program's."""
    found = await _read(store)
    if found is None:
        await _require_ours(store)
        mine = await asyncio.to_thread(_made, directory)
        value = msgspec.json.encode({"metadata": {"name": "keys"}, "files": mine})
        await store.txn(KEY, 0, value)
        found = await _read(store)
        assert found is not None, "keys are never removed"
    await asyncio.to_thread(_keep, directory, msgspec.json.decode(found.value)["files"])


async def _read(store: Store) -> Row | None:
    found = await store.range(KEY)
    return next((row for row in found.rows if row.key == KEY), None)


async def _require_ours(store: Store) -> None:
    """A real kube-apiserver's objects are protobuf, which we would not understand."""
    found = await store.range("/registry/", limit=1)
    if found.rows and found.rows[0].value.startswith(b"k8s\0"):
        raise StoreError(
            f"this etcd holds another Kubernetes cluster ({found.rows[0].key})",
            hint="choose another --etcd-prefix",
        )


def _made(directory: Path) -> dict[str, str]:
    Pki(directory).key("sa")
    return {name: base64.b64encode((directory / name).read_bytes()).decode() for name in _FILES}


def _keep(directory: Path, files: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _FILES:
        data = base64.b64decode(files[name])
        path = directory / name
        if not path.exists() or path.read_bytes() != data:
            write_secret(path, data)
