"""A node, with the pods on it and what they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from netemu.api import quantity
from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.describe.page import NONE, UNSET, Page, moment, since
from netemu.errors import ApiError

ROLE = "node-role.kubernetes.io/"
SYSTEM = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
    ("Kube-Proxy Version", "kubeProxyVersion"),
)


def write_node(page: Page, node: Object, lease: Object | None, pods: Sequence[Object]) -> None:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    _head(page, node)
    _lease(page, node, lease)
    conditions = status.get("conditions") or ()
    if conditions:
        page.line("Conditions:")
        _conditions(page, conditions)
    page.line("Addresses:")
    for address in status.get("addresses") or ():
        page.field(address["type"], address["address"], level=1)
    for title in ("capacity", "allocatable"):
        if status.get(title):
            page.line(f"{title.capitalize()}:")
            page.fields(sorted(status[title].items()), level=1)
    page.line("System Info:")
    info = status.get("nodeInfo") or {}
    page.fields(((title, info.get(key, "")) for title, key in SYSTEM), level=1)
    if spec.get("podCIDR"):
        page.field("PodCIDR", spec["podCIDR"])
    if spec.get("podCIDRs"):
        page.field("PodCIDRs", ",".join(spec["podCIDRs"]))
    _pods(page, status.get("allocatable") or status.get("capacity") or {}, pods)


def lease_of(api: Api, name: str) -> Object | None:
    try:
        return api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
    except ApiError:
        return None


def pods_of(api: Api, name: str) -> list[Object]:
    fields = f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
    items: list[Object] = api.get("/api/v1/pods", {"fieldSelector": fields}).get("items") or []
    return items


def _head(page: Page, node: Object) -> None:
    spec, labels = node.get("spec") or {}, node["metadata"].get("labels") or {}
    page.head(node, namespaced=False)
    roles = sorted(label.removeprefix(ROLE) for label in labels if label.startswith(ROLE))
    page.field("Roles", ",".join(roles) or NONE)
    page.metadata(node)
    page.field("CreationTimestamp", moment(node["metadata"].get("creationTimestamp")))
    taints = (
        taint["key"] + (f"={taint['value']}" if taint.get("value") else "") + f":{taint['effect']}"
        for taint in sorted(
            spec.get("taints") or (), key=lambda taint: str(taint["effect"] + taint["key"])
        )
    )
    page.multiline("Taints", taints)
    page.field("Unschedulable", str(bool(spec.get("unschedulable"))).lower())


def _lease(page: Page, node: Object, lease: Object | None) -> None:
    if lease is None:
        name = node["metadata"]["name"]
        page.field("Lease", f'Failed to get lease: leases.coordination.k8s.io "{name}" not found')
        return
    spec = lease.get("spec") or {}
    page.line("Lease:")
    page.field("HolderIdentity", spec.get("holderIdentity") or UNSET, level=1)
    for title, key in (("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")):
        page.field(title, moment(spec[key]) if spec.get(key) else UNSET, level=1)


def _conditions(page: Page, conditions: Iterable[Object]) -> None:
    names = ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
    page.table(
        names,
        (
            (
                f"{each['type']} ",
                f"{each['status']} ",
                f"{moment(each.get('lastHeartbeatTime'))} ",
                f"{moment(each.get('lastTransitionTime'))} ",
                f"{each.get('reason', '')} ",
                each.get("message", ""),
            )
            for each in conditions
        ),
    )


def _pods(page: Page, allocatable: Object, pods: Sequence[Object]) -> None:
    page.line(f"Non-terminated Pods:\t({len(pods)} in total)")
    names = (
        "Namespace",
        "Name",
        "",
        "CPU Requests",
        "CPU Limits",
        "Memory Requests",
        "Memory Limits",
        "Age",
    )
    page.table(names, (_pod_row(pod, allocatable) for pod in pods))
    page.line("Allocated resources:")
    page.line("(Total limits may be over 100 percent, i.e., overcommitted.)", level=1)
    rows = []
    for resource in ("cpu", "memory", "ephemeral-storage"):
        shares = [
            _share(
                sum((_total(pod, kind, resource) for pod in pods), Fraction()),
                allocatable,
                resource,
            )
            for kind in ("requests", "limits")
        ]
        rows.append((resource, *shares))
    page.table(("Resource", "Requests", "Limits"), rows)


def _pod_row(pod: Object, allocatable: Object) -> tuple[str, ...]:
    metadata = pod["metadata"]
    shares = (
        _share(_total(pod, kind, resource), allocatable, resource)
        for resource in ("cpu", "memory")
        for kind in ("requests", "limits")
    )
    age = since(metadata.get("creationTimestamp"))
    return metadata.get("namespace", ""), metadata["name"], "", *shares, age


def _total(pod: Object, kind: str, resource: str) -> Fraction:
    """Containers run together; init containers one after the other before them."""
    spec = pod.get("spec") or {}
    together = sum(
        (_asked(container, kind, resource) for container in spec.get("containers") or ()),
        Fraction(),
    )
    before = [_asked(each, kind, resource) for each in spec.get("initContainers") or ()]
    return max([together, *before])


def _asked(container: Object, kind: str, resource: str) -> Fraction:
    found = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    return quantity.parse(found) if found is not None else Fraction()


def _share(value: Fraction, allocatable: Object, resource: str) -> str:
    whole = quantity.parse(allocatable[resource]) if resource in allocatable else Fraction()
    percent = int(value * 100 / whole) if whole else 0
    family = "decimal" if resource == "cpu" else "binary"
    return f"{quantity.format(value, family)} ({percent}%)"
