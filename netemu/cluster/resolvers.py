"""Resolvers that went on while the daemon was away: barriers wait for them from the start.

A component counts from its first report. A resolver that outlived a daemon takes a moment to find
the new one; until then it answers from what it knew, and "applied" would not mean "found by name".
"""

from __future__ import annotations

from collections.abc import Callable

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import PODS
from netemu.client.protocol import ApiClient
from netemu.cluster.addons import NAMESPACE
from netemu.config import ClusterConfig
from netemu.errors import ApiError
from netemu.node.images import ImageTable, Program

PATIENCE = 8.0
"""Seconds until a resolver that does not report is left out; it tries at least once a second."""


async def expect_resolvers(
    client: ApiClient, config: ClusterConfig, expect: Callable[[str], None]
) -> list[str]:
    """Call `expect` for each resolver of ours that was serving; the components' names."""
    images = ImageTable(config)
    nodes = {node.name for node in config.nodes}  # others' resolvers have gone on with their server
    listed = await client.list(PODS, NAMESPACE)
    found = [
        f"dns/{meta.name(pod)}"
        for pod in listed.items
        if pod["spec"].get("nodeName") in nodes and _serves(pod, images)
    ]
    for component in found:
        expect(component)
    return found


def _serves(pod: Object, images: ImageTable) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return (
        ready
        and not meta.is_deleting(pod)
        and any(_reports(container, images) for container in pod["spec"]["containers"])
    )


def _reports(container: Object, images: ImageTable) -> bool:
    """Whether it is our resolver with the cluster's Corefile.

    Others behind the same Service know nothing of barriers, and ours with a Corefile of its own
    may serve no objects: it would be waited for in vain.
    """
    command, args = container.get("command") or (), container.get("args") or ()
    found = images.resolve(container.get("image") or "", command, args, ())
    return isinstance(found, Program) and {"netemu.dns", "--configmap"} <= set(found.argv)


async def barrier(client: ApiClient, expected: list[str], forget: Callable[[str], None]) -> None:
    """Wait for all components, and for those `expected` not longer than PATIENCE."""
    try:
        await client.barrier(timeout=PATIENCE if expected else 30.0)
    except ApiError as error:
        if error.reason != "Timeout" or not expected:
            raise
        for component in expected:
            forget(component)  # one that lives is back with its next report
        await client.barrier()
