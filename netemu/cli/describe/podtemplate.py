"""Containers, volumes and tolerations: what pods and pod templates share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netemu.cli.describe.page import NONE, Page, moment, selector_text
from netemu.cli.describe.volumes import write_volumes

Container = Mapping[str, Any]
FieldValue = Callable[[str], str]
"""The value of a field of the pod by its path, for env with fieldRef."""


def template_text(template: Mapping[str, Any]) -> str:
    """A pod template by itself (`rollout history --revision`)."""
    page = Page()
    write_template(page, template)
    return page.text()


def write_template(page: Page, template: Mapping[str, Any]) -> None:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    page.line("Pod Template:")
    page.labels("Labels", metadata.get("labels"), indent="  ")
    if metadata.get("annotations"):
        page.annotations("Annotations", metadata["annotations"], indent="  ")
    if spec.get("serviceAccountName"):
        page.field("Service Account", spec["serviceAccountName"], level=1)
    if spec.get("initContainers"):
        write_containers(page, "Init Containers", spec["initContainers"], (), indent="  ")
    write_containers(page, "Containers", spec.get("containers") or (), (), indent="  ")
    write_volumes(page, spec.get("volumes") or (), indent="  ")
    write_spread(page, spec.get("topologySpreadConstraints") or (), indent="  ")
    if spec.get("priorityClassName"):
        page.field("Priority Class Name", spec["priorityClassName"], level=1)
    page.labels("Node-Selectors", spec.get("nodeSelector"), indent="  ")
    write_tolerations(page, spec.get("tolerations") or (), indent="  ")


def write_containers(
    page: Page,
    title: str,
    containers: Sequence[Container],
    statuses: Sequence[Any],
    *,
    value: FieldValue | None = None,
    indent: str = "",
) -> None:
    page.line(f"{indent}{title}:" + ("" if containers else f" {NONE}"))
    by_name = {status["name"]: status for status in statuses}
    for container in containers:
        status = by_name.get(container["name"])
        _basics(page, container, status, " " if indent else "")
        _command(page, container)
        if status:
            _states(page, status)
        write_resources(page, container.get("resources") or {})
        _probes(page, container)
        _environment(page, container, value or (lambda path: ""))
        _mounts(page, container)


def _basics(page: Page, container: Container, status: Any, indent: str) -> None:
    page.line(f"{indent}{container['name']}:", level=1)
    if status:
        page.field("Container ID", status.get("containerID", ""), level=2)
    page.field("Image", container.get("image", ""), level=2)
    if status:
        page.field("Image ID", status.get("imageID", ""), level=2)
    ports = container.get("ports") or ()
    for name, key in (("Port", "containerPort"), ("Host Port", "hostPort")):
        shown = ", ".join(f"{port.get(key, 0)}/{port.get('protocol', 'TCP')}" for port in ports)
        page.field(name + ("s" if len(ports) > 1 else ""), shown or NONE, level=2)


def _command(page: Page, container: Container) -> None:
    for title, key in (("Command", "command"), ("Args", "args")):
        if container.get(key):
            page.line(f"{title}:", level=2)
            for word in container[key]:
                for part in word.split("\n"):
                    page.line(part, level=3)


def _states(page: Page, status: Mapping[str, Any]) -> None:
    _state(page, "State", status.get("state") or {})
    if (status.get("lastState") or {}).get("terminated"):
        _state(page, "Last State", status["lastState"])
    page.field("Ready", bool(status.get("ready")), level=2)
    page.field("Restart Count", status.get("restartCount", 0), level=2)


def _state(page: Page, title: str, state: Mapping[str, Any]) -> None:
    if state.get("running") is not None:
        page.field(title, "Running", level=2)
        page.field("Started", moment(state["running"].get("startedAt")), level=3)
        return
    ended = state.get("terminated")
    if ended is None:
        page.field(title, "Waiting", level=2)
        reason = (state.get("waiting") or {}).get("reason")
        if reason:
            page.field("Reason", reason, level=3)
        return
    page.field(title, "Terminated", level=2)
    for name in ("reason", "message"):
        if ended.get(name):
            page.field(name.capitalize(), ended[name], level=3)
    page.field("Exit Code", ended.get("exitCode", 0), level=3)
    if ended.get("signal"):
        page.field("Signal", ended["signal"], level=3)
    page.field("Started", moment(ended.get("startedAt")), level=3)
    page.field("Finished", moment(ended.get("finishedAt")), level=3)


def write_resources(page: Page, resources: Mapping[str, Any], *, level: int = 2) -> None:
    for title in ("limits", "requests"):
        found = resources.get(title) or {}
        if found:
            page.line(f"{title.capitalize()}:", level=level)
        for name in sorted(found):
            page.field(name, found[name], level=level + 1)


def _probes(page: Page, container: Container) -> None:
    for title in ("Liveness", "Readiness", "Startup"):
        probe = container.get(f"{title.lower()}Probe")
        if probe:
            page.field(title, probe_text(probe), level=2)


def probe_text(probe: Mapping[str, Any]) -> str:
    """`http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`."""
    numbers = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s"
        f" period={probe.get('periodSeconds', 0)}s #success={probe.get('successThreshold', 0)}"
        f" #failure={probe.get('failureThreshold', 0)}"
    )
    if "exec" in probe:
        return f"exec [{' '.join(probe['exec'].get('command') or ())}] {numbers}"
    if "httpGet" in probe:
        get = probe["httpGet"]
        scheme = get.get("scheme", "HTTP").lower()
        path = get.get("path", "")
        return f"http-get {scheme}://{get.get('host', '')}:{get['port']}{path} {numbers}"
    if "tcpSocket" in probe:
        socket = probe["tcpSocket"]
        return f"tcp-socket {socket.get('host', '')}:{socket['port']} {numbers}"
    if "grpc" in probe:
        grpc = probe["grpc"]
        return f"grpc <pod>:{grpc['port']} {grpc.get('service') or ''} {numbers}"
    return f"unknown {numbers}"


def _environment(page: Page, container: Container, value: FieldValue) -> None:
    sources = container.get("envFrom") or ()
    if sources:
        page.line("Environment Variables from:", level=2)
    for source in sources:
        kind = "ConfigMap" if "configMapRef" in source else "Secret"
        reference = source.get("configMapRef") or source.get("secretRef") or {}
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        optional = str(bool(reference.get("optional"))).lower()
        name = reference.get("name", "")
        page.line(f"{name}\t{kind}{prefix}\tOptional: {optional}", level=3)
    variables = container.get("env") or ()
    page.line("Environment:" + ("" if variables else f"\t{NONE}"), level=2)
    for variable in variables:
        for index, part in enumerate(_variable(variable, value).split("\n")):
            page.line(f"{variable['name']}:\t{part}" if index == 0 else f"\t{part}", level=3)


def _variable(variable: Mapping[str, Any], value: FieldValue) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value") or "")
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        return f"{value(path)} ({source['fieldRef'].get('apiVersion', 'v1')}:{path})"
    if "resourceFieldRef" in source:
        return f" ({source['resourceFieldRef']['resource']})"
    secret = "secretKeyRef" in source
    reference = source.get("secretKeyRef") or source.get("configMapKeyRef") or {}
    of = "in secret" if secret else "of config map"
    optional = str(bool(reference.get("optional"))).lower()
    key, name = reference.get("key", ""), reference.get("name", "")
    return f"<set to the key '{key}' {of} '{name}'>\tOptional: {optional}"


def _mounts(page: Page, container: Container) -> None:
    mounts = sorted(container.get("volumeMounts") or (), key=lambda mount: str(mount["mountPath"]))
    page.line("Mounts:" + ("" if mounts else f"\t{NONE}"), level=2)
    for mount in mounts:
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        page.line(f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})", level=3)


def write_tolerations(page: Page, tolerations: Sequence[Any], *, indent: str = "") -> None:
    ordered = sorted(tolerations, key=lambda each: str(each.get("key", "")))
    page.multiline("Tolerations", (_toleration(each) for each in ordered), indent=indent)


def _toleration(each: Mapping[str, Any]) -> str:
    text = str(each.get("key", ""))
    if each.get("value"):
        text += f"={each['value']}"
    if each.get("effect"):
        text += f":{each['effect']}"
    if each.get("operator") == "Exists" and not each.get("value"):
        text += " op=Exists" if text else "op=Exists"
    if each.get("tolerationSeconds") is not None:
        text += f" for {each['tolerationSeconds']}s"
    return text


def write_spread(page: Page, constraints: Sequence[Any], *, indent: str = "") -> None:
    if not constraints:
        return
    texts = []
    for each in sorted(constraints, key=lambda c: str(c["topologyKey"])):
        chosen = each.get("labelSelector")
        texts.append(
            f"{each['topologyKey']}:{each['whenUnsatisfiable']} when max skew"
            f" {each['maxSkew']} is exceeded"
            + (f" for selector {selector_text(chosen)}" if chosen else "")
        )
    page.multiline("Topology Spread Constraints", texts, indent=indent)
