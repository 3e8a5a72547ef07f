from functools import partial
from typing import Any

import pytest

import kind_rules
from netemu.api import meta, table
from netemu.api.kinds import PODS

problems = partial(kind_rules.problems, PODS)
stored = partial(kind_rules.stored, PODS)


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    given = list(containers) or [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": given, **spec},
    }


def test_defaults() -> None:
    made = pod(
        {
            "name": "nginx",
            "image": "nginx:1.7.9",
            "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}},
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        },
        volumes=[{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
    )
    PODS.default(made)
    PODS.prepare(made, None)
    assert made["spec"] == {
        "containers": [
            {
                "name": "nginx",
                "image": "nginx:1.7.9",
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "readinessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "env": [
                    {
                        "name": "IP",
                        "valueFrom": {
                            "fieldRef": {"fieldPath": "status.podIP", "apiVersion": "v1"}
                        },
                    }
                ],
                "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"},
                    "requests": {"cpu": "1", "memory": "1Gi"},
                },
            }
        ],
        "volumes": [
            {"name": "v", "emptyDir": {}},
            {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}},
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    made = pod({"name": "c", "image": image})
    PODS.default(made)
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_host_network_fills_in_host_ports() -> None:
    made = pod({"name": "c", "image": "i", "ports": [{"containerPort": 80}]}, hostNetwork=True)
    PODS.default(made)
    assert made["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


C = {"name": "c", "image": "i"}


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        (pod({"image": "i"}), "spec.containers[0].name", "Required value"),
        (pod({"name": "c"}), "spec.containers[0].image", "Required value"),
        (pod(C, C), "spec.containers[1].name", 'Duplicate value: "c"'),
        (
            pod({**C, "image": " i"}),
            "spec.containers[0].image",
            'Invalid value: " i": must not have leading or trailing whitespace',
        ),
        (
            pod({**C, "ports": [{"containerPort": 70000}]}),
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            pod({**C, "ports": [{"containerPort": 1, "protocol": "X"}]}),
            "spec.containers[0].ports[0].protocol",
            'Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            pod(
                {
                    **C,
                    "ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}],
                }
            ),
            "spec.containers[0].ports[1].name",
            'Duplicate value: "a"',
        ),
        (
            pod(
                {**C, "ports": [{"containerPort": 1, "hostPort": 5}]},
                {"name": "d", "image": "i", "ports": [{"containerPort": 2, "hostPort": 5}]},
            ),
            "spec.containers[1].ports[0].hostPort",
            'Duplicate value: "TCP//5"',
        ),
        (
            pod({**C, "volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        (
            pod({**C, "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            pod(
                {
                    **C,
                    "env": [
                        {
                            "name": "A",
                            "value": "x",
                            "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                        }
                    ],
                }
            ),
            "spec.containers[0].env[0].valueFrom",
            'Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            pod({**C, "livenessProbe": {}}),
            "spec.containers[0].livenessProbe",
            "Required value: must specify a handler type",
        ),
        (
            pod({**C, "livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}),
            "spec.containers[0].livenessProbe.successThreshold",
            "Invalid value: 2: must be 1",
        ),
        (
            pod(restartPolicy="Sometimes"),
            "spec.restartPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            pod(dnsPolicy="None"),
            "spec.dnsConfig",
            "Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath",
            "Forbidden: may not specify more than 1 volume type",
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {"path": "/a/../b"}}]),
            "spec.volumes[0].hostPath.path",
            "Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
            "spec.tolerations[0].operator",
            'Invalid value: {"key":"a","operator":"Exists","value":"x"}: value must be empty when '
            "`operator` is 'Exists'",
        ),
        (
            pod(ephemeralContainers=[C]),
            "spec.ephemeralContainers",
            "Forbidden: cannot be set on create",
        ),
        (
            pod(initContainers=[{"name": "i", "image": "i", "lifecycle": {}}]),
            "spec.initContainers[0].lifecycle",
            "Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            pod(
                affinity={
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}]
                    }
                }
            ),
            "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"
            ".topologyKey",
            "Required value: can not be empty",
        ),
    ],
)
def test_what_is_refused(obj: dict[str, Any], field: str, message: str) -> None:
    assert (field, message) in problems(obj)


def test_a_good_pod_has_no_problem() -> None:
    full = pod(
        {
            **C,
            "ports": [
                {"containerPort": 80, "name": "http"},
                {"containerPort": 53, "protocol": "UDP"},
            ],
            "env": [{"name": "JVM_OPTS", "value": "-Xmx1g"}],
            "envFrom": [{"configMapRef": {"name": "c"}}],
            "startupProbe": {"tcpSocket": {"port": "http"}},
            "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
        },
        initContainers=[
            {
                "name": "side",
                "image": "i",
                "restartPolicy": "Always",
                "readinessProbe": {"exec": {"command": ["x"]}},
            }
        ],
        volumes=[{"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}}],
        dnsPolicy="None",
        dnsConfig={
            "nameservers": ["10.0.0.1"],
            "searches": ["a.b.", "."],
            "options": [{"name": "x"}],
        },
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.example"]}],
        tolerations=[{"operator": "Exists"}],
        hostname="h",
        subdomain="s",
    )
    assert problems(full) == []


def test_images_and_new_tolerations_may_change() -> None:
    old = stored(pod())
    new = meta.copy(old)
    new["spec"]["containers"][0]["image"] = "other"
    new["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert problems(new, old) == []


def test_other_fields_may_not_change() -> None:
    old = stored(pod())
    new = meta.copy(old)
    new["spec"]["nodeName"] = "node-1"
    ((field, message),) = problems(new, old)
    assert field == "spec"
    assert message.startswith("Forbidden: pod updates may not change fields other than `spec.cont")
    new["spec"]["containers"].append({"name": "x", "image": "i"})
    assert ("spec.containers", "Forbidden: pod updates may not add or remove containers") in (
        problems(new, old)
    )


def test_scheduling_gates_may_only_go() -> None:
    old = stored(pod(schedulingGates=[{"name": "a"}]))
    new = meta.copy(old)
    new["spec"]["schedulingGates"] = []
    new["spec"]["nodeSelector"] = {"x": "y"}
    assert problems(new, old) == []
    assert problems(old, new) != []


RUNNING = {"running": {}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}


def cells(obj: dict[str, Any], now: float = 0) -> list[Any]:
    rows = table.render(PODS, [obj], now=now)["rows"]
    found: list[Any] = rows[0]["cells"]
    return found


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        (
            {"phase": "Running", "containerStatuses": [{"ready": True, "state": RUNNING}]},
            ["1/1", "Running", "0"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [{"restartCount": 3, "state": CRASHED}],
            },
            ["0/1", "CrashLoopBackOff", "3"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "restartCount": 3,
                        "ready": True,
                        "state": RUNNING,
                        "lastState": {"terminated": {"finishedAt": "1970-01-01T00:00:00Z"}},
                    }
                ],
            },
            ["1/1", "Running", "3 (5m ago)"],
        ),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}],
            },
            ["0/1", "Completed", "0"],
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}],
            },
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"name": "i", "state": RUNNING}],
            },
            ["0/1", "Init:0/1", "0"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
                ],
            },
            ["0/1", "Init:Error", "0"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
            },
            ["0/1", "PodInitializing", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
    ],
)
def test_ready_status_restarts(status: dict[str, Any], shown: list[str]) -> None:
    obj = pod(initContainers=[{"name": "i", "image": "i"}])
    obj["status"] = status
    assert cells(obj, now=300)[1:4] == shown


def test_terminating() -> None:
    obj = pod()
    obj["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z"
    obj["status"] = {"phase": "Running"}
    assert cells(obj)[2] == "Terminating"
    obj["status"] = {"phase": "Succeeded"}
    assert cells(obj)[2] == "Succeeded"


def test_sidecars_count_as_containers() -> None:
    obj = pod(initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always"}])
    up = {"ready": True, "started": True, "state": RUNNING}
    obj["status"] = {
        "phase": "Running",
        "initContainerStatuses": [{"name": "s", **up}],
        "containerStatuses": [{"name": "c", **up}],
    }
    assert cells(obj)[1:3] == ["2/2", "Running"]


def test_wide_columns() -> None:
    obj = pod(nodeName="node-1", readinessGates=[{"conditionType": "x"}])
    obj["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z"
    obj["status"] = {"podIP": "10.244.0.2", "phase": "Running"}
    assert cells(obj, now=90)[4:] == ["90s", "10.244.0.2", "node-1", "<none>", "0/1"]


def test_field_selectors() -> None:
    fields = PODS.fields(pod(nodeName="node-1"))
    assert fields["spec.nodeName"] == "node-1"
    assert fields["status.phase"] == ""
