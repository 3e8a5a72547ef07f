from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import protobuf
from netemu.errors import ApiError


def _envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    unknown = protobuf._message_class("k8s.io.apimachinery.pkg.runtime.Unknown")()
    unknown.typeMeta.apiVersion, unknown.typeMeta.kind = api_version, kind
    unknown.raw = raw
    encoded: bytes = unknown.SerializeToString()
    return protobuf.MAGIC + encoded


def _new(name: str) -> Any:
    return protobuf._message_class(name)()


def test_a_pod_as_go_encodes_it() -> None:
    """Go's encoder writes every plain field, empty or not; the JSON form leaves them out."""
    pod = _new("k8s.io.api.core.v1.Pod")
    pod.metadata.name, pod.metadata.namespace = "p", ""
    pod.metadata.creationTimestamp.SetInParent()
    pod.metadata.labels["app"] = ""
    container = pod.spec.containers.add()
    container.name, container.image, container.stdin = "c", "i", False
    port = container.ports.add()
    port.containerPort, port.hostPort = 80, 0
    check = container.livenessProbe.handler.httpGet.port
    check.type, check.intVal, check.strVal = 1, 0, "http"
    container.resources.limits["cpu"].string = "100m"
    variable = container.env.add()
    variable.name, variable.value = "A", ""
    variable.valueFrom.configMapKeyRef.localObjectReference.name = "cm"
    variable.valueFrom.configMapKeyRef.key = "k"
    volume = pod.spec.volumes.add()
    volume.name = "v"
    volume.volumeSource.emptyDir.medium = ""
    pod.spec.terminationGracePeriodSeconds = 0
    pod.spec.hostNetwork = False
    assert protobuf.decode(_envelope("v1", "Pod", pod.SerializeToString())) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": ""}},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "ports": [{"containerPort": 80}],
                    "env": [
                        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}
                    ],
                    "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"port": "http"}},
                }
            ],
            "terminationGracePeriodSeconds": 0,
        },
    }


def test_a_deployment_scaled_to_zero_keeps_its_zero() -> None:
    deployment = _new("k8s.io.api.apps.v1.Deployment")
    deployment.spec.replicas = 0
    deployment.spec.minReadySeconds = 0
    deployment.spec.strategy.rollingUpdate.maxSurge.type = 0
    deployment.spec.strategy.rollingUpdate.maxSurge.intVal = 0
    decoded = protobuf.decode(_envelope("apps/v1", "Deployment", deployment.SerializeToString()))
    assert decoded["spec"] == {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": 0}}}


def test_bytes_times_and_flat_ingress_rules() -> None:
    secret = _new("k8s.io.api.core.v1.Secret")
    secret.data["a"] = b"\x00x"
    secret.metadata.creationTimestamp.seconds = 1
    decoded = protobuf.decode(_envelope("v1", "Secret", secret.SerializeToString()))
    assert decoded["data"] == {"a": "AHg="}
    assert decoded["metadata"]["creationTimestamp"] == "1970-01-01T00:00:01Z"
    ingress = _new("k8s.io.api.networking.v1.Ingress")
    rule = ingress.spec.rules.add()
    rule.host = "h"
    rule.ingressRuleValue.http.paths.add().path = "/"
    raw = ingress.SerializeToString()
    decoded = protobuf.decode(_envelope("networking.k8s.io/v1", "Ingress", raw))
    assert decoded["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/"


def test_a_custom_resource_definition() -> None:
    definition = _new(
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    )
    version = definition.spec.versions.add()
    version.name, version.served = "v1", True
    schema = version.schema.openAPIV3Schema
    schema.type = "object"
    schema.properties["x"].xKubernetesIntOrString = True
    schema.properties["y"].items.schema.type = "string"
    schema.properties["z"].default.raw = b'{"a":1}'
    raw = definition.SerializeToString()
    envelope = _envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw)
    found = protobuf.decode(envelope)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert found["properties"] == {
        "x": {"x-kubernetes-int-or-string": True},
        "y": {"items": {"type": "string"}},
        "z": {"default": {"a": 1}},
    }


def test_delete_options() -> None:
    options = _new("k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    options.gracePeriodSeconds = 0
    options.propagationPolicy = "Foreground"
    decoded = protobuf.decode(_envelope("v1", "DeleteOptions", options.SerializeToString()))
    assert decoded["gracePeriodSeconds"] == 0
    assert decoded["propagationPolicy"] == "Foreground"


def test_times_that_no_calendar_has() -> None:
    pod = _new("k8s.io.api.core.v1.Pod")
    pod.metadata.creationTimestamp.seconds = 1 << 60
    with pytest.raises(ApiError) as caught:
        protobuf.decode(_envelope("v1", "Pod", pod.SerializeToString()))
    assert caught.value.code == 400


@given(st.binary(max_size=60), st.sampled_from(["Pod", "Secret", "Event", "DeleteOptions"]))
def test_any_bytes(raw: bytes, kind: str) -> None:
    try:
        assert protobuf.decode(_envelope("v1", kind, raw))["kind"] == kind
    except ApiError as error:
        assert error.code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\0\xff\xff",
        _envelope("v1", "Nonsense", b""),
        _envelope("v1", "Pod", b"\xff\xff\xff"),
        _envelope("no such/group/v1", "Pod", b""),
    ],
)
def test_unreadable_bodies(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        protobuf.decode(body)
    assert caught.value.code == 400
