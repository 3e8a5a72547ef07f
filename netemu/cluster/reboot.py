"""After a reboot of the machine, or `down --keep-data`: the store remembers pods that are gone.

Until its kubelet has looked again, nothing may take such a pod for ready. This is what the node
lifecycle controller does with the pods of a node that stopped reporting.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/nodelifecycle/node_lifecycle_controller.go
"""

from __future__ import annotations

from collections.abc import Collection

from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.api.kinds import NODES, PODS
from netemu.client.protocol import ApiClient

_POD = {"Ready": "False", "ContainersReady": "False"}
_NODE = {"Ready": "Unknown"}


async def forget_readiness(client: ApiClient, names: Collection[str]) -> int:
    """Mark these nodes unknown and their pods not ready; how many objects were changed."""
    changed = 0
    for resource, statuses in ((NODES, _NODE), (PODS, _POD)):
        for obj in (await client.list(resource)).items:
            node = meta.name(obj) if resource is NODES else obj["spec"].get("nodeName")
            wanted = unready(obj, statuses) if node in names else None
            if wanted is not None:
                await _write(client, resource, wanted)
                changed += 1
    return changed


async def _write(client: ApiClient, resource: Resource, obj: Object) -> None:
    await client.update(resource, obj, subresource="status")


def unready(obj: Object, statuses: dict[str, str]) -> Object | None:
    """`obj` with these conditions no longer True; None when none of them is."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    if not any(c["type"] in statuses and c["status"] == "True" for c in conditions):
        return None
    changed = meta.copy(obj)
    for condition in changed["status"]["conditions"]:
        if condition["type"] in statuses:
            condition["status"] = statuses[condition["type"]]
    for container in changed["status"].get("containerStatuses") or ():
        container["ready"] = False
    return changed
