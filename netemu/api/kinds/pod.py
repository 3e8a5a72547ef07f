"""Pod: what its server does at create and update; the rules of its spec are `api/podspec/`.

https://kubernetes.io/docs/concepts/workloads/pods/
"""

from __future__ import annotations

from collections.abc import Mapping

from netemu.api.cells import AGE, NAME, NONE, at
from netemu.api.invalid import forbidden, invalid
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.names import ip
from netemu.api.podspec import display
from netemu.api.podspec.defaults import default_pod
from netemu.api.podspec.qos import qos_class
from netemu.api.podspec.rules import check_pod_images, check_pod_spec, check_spec_update


def _prepare(obj: Object, old: Object | None) -> None:
    """A new pod is Pending, whatever it says; its QoS class follows from its resources."""
    if old is None:
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj.get("spec") or {})}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_pod_spec(spec) + check_pod_images(spec)
    if old is not None:
        return causes + check_spec_update(spec, old.get("spec") or {})
    if spec.get("ephemeralContainers"):
        causes.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        message = "cannot be set until all schedulingGates have been cleared"
        causes.append(forbidden("spec.nodeName", message))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    causes: list[Cause] = []
    status = obj.get("status") or {}
    addresses = [item.get("ip") or "" for item in status.get("podIPs") or ()]
    for index, address in enumerate(addresses):
        causes += [invalid(f"status.podIPs[{index}]", address, why) for why in ip(address)]
    families = {":" in address for address in addresses}
    if len(addresses) > len(families):
        message = "may specify no more than one IP for each IP family"
        causes.append(invalid("status.podIPs", addresses, message))
    return causes


def _fields(obj: Object) -> Mapping[str, str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": status.get("podIP") or "",
        "status.podIPs": status.get("podIP") or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


PODS = Kind(
    plural="pods",
    kind="Pod",
    short_names=("po",),
    categories=("all",),
    schema="io.k8s.api.core.v1.Pod",
    subresources=frozenset(
        (
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
            "status",
        )
    ),
    default=default_pod,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    fields=_fields,
    has_generation=True,
    row_conditions=display.row_conditions,
    columns=(
        NAME,
        Column(
            "Ready",
            display.ready,
            description="The aggregate readiness state of this pod for accepting traffic.",
        ),
        Column(
            "Status",
            display.status,
            description="The aggregate status of the containers in this pod.",
        ),
        Column(
            "Restarts",
            display.restarts,
            description="The number of times the containers in this pod have been restarted and "
            "when the last container in this pod has restarted.",
        ),
        AGE,
        Column("IP", at("status", "podIP", default=NONE), priority=1),
        Column("Node", at("spec", "nodeName", default=NONE), priority=1),
        Column("Nominated Node", at("status", "nominatedNodeName", default=NONE), priority=1),
        Column("Readiness Gates", display.readiness_gates, priority=1),
    ),
)
