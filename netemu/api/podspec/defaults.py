"""What a PodSpec gets when its author said nothing.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from netemu.api.kind import Object

DEFAULT_MODE = 0o644
_MODED = ("secret", "configMap", "downwardAPI", "projected")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod_spec(spec: Object) -> None:
    """Fill in the defaults of a PodSpec that the caller owns."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    _service_account(spec)
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    host_network = bool(spec.get("hostNetwork"))
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            default_container(container)
            if host_network:
                _host_ports(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for constraint in spec.get("topologySpreadConstraints") or ():
        constraint.setdefault("whenUnsatisfiable", "DoNotSchedule")


def _service_account(spec: Object) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`: both are kept equal."""
    named = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if named:
        spec["serviceAccountName"] = named
        spec["serviceAccount"] = named


@lru_cache(maxsize=1024)
def pull_policy(image: str) -> str:
    """Always for `latest`, be it said or meant; IfNotPresent otherwise."""
    rest, _, digest = image.partition("@")
    last = rest.rpartition("/")[2]
    tag = last.partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    container.setdefault("resources", {})
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            _field_reference(source)
    for named in _PROBES:
        if named in container:
            _probe(container[named])
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for hook in ("postStart", "preStop"):
            _handler(lifecycle.get(hook))


def _field_reference(holder: Object) -> None:
    reference = holder.get("fieldRef")
    if reference is not None:
        reference.setdefault("apiVersion", "v1")
    resource = holder.get("resourceFieldRef")
    if resource is not None:
        resource.setdefault("divisor", "0")


def _probe(probe: Object | None) -> None:
    if probe is None:
        return
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(key):
            probe[key] = value
    _handler(probe)
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _handler(handler: Any) -> None:
    request = handler.get("httpGet") if handler else None
    if request is not None:
        if not request.get("path"):
            request["path"] = "/"
        if not request.get("scheme"):
            request["scheme"] = "HTTP"


def _host_ports(container: Object) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def default_volume(volume: Object) -> None:
    if not any(key != "name" and value is not None for key, value in volume.items()):
        volume["emptyDir"] = {}
        return
    for source in _MODED:
        if volume.get(source) is not None:
            volume[source].setdefault("defaultMode", DEFAULT_MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _field_reference(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        _projection(source)
    if volume.get("ephemeral") is not None:
        claim = volume["ephemeral"].get("volumeClaimTemplate") or {}
        claim.get("spec", {}).setdefault("volumeMode", "Filesystem")
    if volume.get("image") is not None and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = pull_policy(volume["image"].get("reference") or "")
    _volume_drivers(volume)


def _projection(source: Object) -> None:
    token = source.get("serviceAccountToken")
    if token is not None:
        token.setdefault("expirationSeconds", 3600)
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        _field_reference(item)


def _volume_drivers(volume: Object) -> None:
    if volume.get("iscsi") is not None:
        volume["iscsi"].setdefault("iscsiInterface", "default")
    if volume.get("rbd") is not None:
        for key, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
            volume["rbd"].setdefault(key, value)


def default_pod(obj: Object) -> None:
    """The defaults that a Pod has beyond those of a template."""
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            limits = container["resources"].get("limits")
            if limits:
                requests = container["resources"].setdefault("requests", {})
                for resource, amount in limits.items():
                    requests.setdefault(resource, amount)


def default_template(template: Object) -> None:
    """A PodTemplateSpec. Its metadata gets `creationTimestamp: null` from nobody."""
    default_pod_spec(template.setdefault("spec", {}))
