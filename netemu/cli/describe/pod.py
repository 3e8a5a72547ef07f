"""A pod."""

from __future__ import annotations

from netemu.api.podspec.qos import qos_class
from netemu.api.resource import Object
from netemu.cli.describe.page import NONE, Page, controller, moment, since
from netemu.cli.describe.podtemplate import write_containers, write_spread, write_tolerations
from netemu.cli.describe.volumes import write_volumes
from netemu.cli.jsonpath import find, text_of


def write_pod(page: Page, pod: Object) -> None:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    _placement(page, pod)
    _phase(page, pod)
    page.field("IP", status.get("podIP", ""))
    addresses = status.get("podIPs") or ()
    page.line("IPs:" + ("" if addresses else f"\t{NONE}"))
    for address in addresses:
        page.field("IP", address["ip"], level=1)
    if controller(pod):
        page.field("Controlled By", controller(pod))
    _containers(page, pod)
    gates = spec.get("readinessGates") or ()
    conditions = status.get("conditions") or ()
    if gates:
        known = {each["type"]: each["status"] for each in conditions}
        page.line("Readiness Gates:")
        page.line("Type\tStatus", level=1)
        for gate in gates:
            page.line(
                f"{gate['conditionType']} \t{known.get(gate['conditionType'], NONE)} ", level=1
            )
    if conditions:
        page.line("Conditions:")
        page.line("Type\tStatus", level=1)
        for condition in conditions:
            page.line(f"{condition['type']} \t{condition['status']} ", level=1)
    write_volumes(page, spec.get("volumes") or ())
    page.field("QoS Class", status.get("qosClass") or qos_class(spec))
    page.labels("Node-Selectors", spec.get("nodeSelector"))
    write_tolerations(page, spec.get("tolerations") or ())
    write_spread(page, spec.get("topologySpreadConstraints") or ())


def _placement(page: Page, pod: Object) -> None:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    page.head(pod)
    if spec.get("priority") is not None:
        page.field("Priority", spec["priority"])
    if spec.get("priorityClassName"):
        page.field("Priority Class Name", spec["priorityClassName"])
    if spec.get("serviceAccountName"):
        page.field("Service Account", spec["serviceAccountName"])
    node = spec.get("nodeName")
    page.field("Node", f"{node}/{status.get('hostIP', '')}" if node else NONE)
    if status.get("startTime"):
        page.field("Start Time", moment(status["startTime"]))
    page.metadata(pod)


def _phase(page: Page, pod: Object) -> None:
    status, metadata = pod.get("status") or {}, pod["metadata"]
    phase = status.get("phase", "")
    if metadata.get("deletionTimestamp") and phase not in ("Failed", "Succeeded"):
        page.field("Status", f"Terminating (lasts {since(metadata['deletionTimestamp'])})")
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        page.field("Termination Grace Period", f"{grace}s")
    else:
        page.field("Status", phase)
    for name in ("reason", "message"):
        if status.get(name):
            page.field(name.capitalize(), status[name])


def _containers(page: Page, pod: Object) -> None:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}

    def value(path: str) -> str:
        found = find("." + path, pod)
        return ",".join(text_of(each) for each in found)

    groups = (
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    )
    for title, key, statuses in groups:
        if spec.get(key) or key == "containers":
            write_containers(
                page, title, spec.get(key) or (), status.get(statuses) or (), value=value
            )
