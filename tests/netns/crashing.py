"""A run that makes and changes a cluster's network and is killed at its Nth step; see test_crash.

A step is a write to the ledger or the log, a send to the kernel, a new namespace, a new name. One
process forks a fresh one for each N, so the imports are paid once:

    crashing.py CLUSTER        reads N from standard input, answers `killed N` or `done`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from netemu.config import ClusterConfig
from netemu.node import cleanup, netns, sandbox_log
from netemu.node import ledger as ledgers
from netemu.node.fabric import Fabric
from netemu.node.ledger import Ledger
from netemu.node.machine import HOST
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.netlink import NetlinkSocket
from netemu.node.podnetwork import PodNetwork, PodRequest


async def life(config: ClusterConfig) -> None:
    """Up, a few changes, and down."""
    ledger = Ledger(config.run_dir)
    fabric = Fabric(config, ledger)
    await fabric.open()
    nodes = await fabric.add(["node-1", "node-2"])
    await fabric.add({"client": "192.0.2.9"}, HOST)
    holder = NamespaceHolder(config.run_dir, ledger)
    holder.open()
    pods = PodNetwork(config, "node-1", nodes[0].netns, holder=holder, ledger=ledger)
    await pods.adopt()
    await pods.configure(["10.244.0.0/24"])
    requests = [PodRequest(uid=f"u{n}", namespace="default", name=f"p{n}") for n in range(3)]
    await pods.add([r for r in requests if r.uid not in pods.sandboxes()])
    await pods.remove(["u1"])
    await fabric.remove("node-2")
    cleanup.clean(config.run_dir)


def crash_at(step: int) -> None:
    """Kill this process when it takes its step number `step`."""
    taken = 0

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    ledgers.Ledger._append = counting(ledgers.Ledger._append)  # type: ignore[method-assign]
    log = sandbox_log.SandboxLog
    log._append = counting(log._append)  # type: ignore[method-assign]
    NetlinkSocket.try_all = counting(NetlinkSocket.try_all)  # type: ignore[method-assign]
    netns._create = counting(netns._create)
    netns.delete = counting(netns.delete)
    os.symlink = counting(os.symlink)
    os.unlink = counting(os.unlink)


def main() -> None:
    config = ClusterConfig(name=sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            crash_at(int(line))
            asyncio.run(life(config))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(f"killed {line.strip()}", flush=True)
        else:
            print("done" if status == 0 else f"failed {status}", flush=True)


if __name__ == "__main__":
    main()
