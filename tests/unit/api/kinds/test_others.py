from typing import Any

import pytest

from kind_rules import cells, problems, stored
from netemu.api import meta, versions
from netemu.api.kind import Kind
from netemu.api.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRON_JOBS,
    DAEMON_SETS,
    ENDPOINT_SLICES,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESS_CLASSES,
    INGRESSES,
    IP_ADDRESSES,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    ROLE_BINDINGS,
    ROLES,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SERVICE_CIDRS,
    STORAGE_CLASSES,
)
from netemu.api.objectrules import validate
from netemu.errors import ApiError

POD: dict[str, Any] = {
    "containers": [{"name": "c", "image": "busybox:1"}],
    "restartPolicy": "Never",
}


def job(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": POD}, **spec}}


def test_a_job_selects_its_own_pods() -> None:
    made = stored(JOBS, job())
    assert problems(JOBS, job()) == []
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "1",
        "controller-uid": "1",
        "batch.kubernetes.io/job-name": "x",
        "job-name": "x",
    }
    assert {key: made["spec"][key] for key in ("completions", "parallelism", "backoffLimit")} == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
    }


def test_a_job_must_end() -> None:
    always = {"template": {"spec": {**POD, "restartPolicy": "Always"}}}
    assert problems(JOBS, {"spec": always}) == [
        (
            "spec.template.spec.restartPolicy",
            'Required value: valid values: "OnFailure", "Never"',
        )
    ]


def test_a_jobs_template_is_immutable() -> None:
    old = stored(JOBS, job())
    new = meta.copy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    ((field, _),) = problems(JOBS, new, old)
    assert field == "spec.template"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, ["Running", "0/1", ""]),
        ({"startTime": "1970-01-01T00:00:00Z"}, ["Running", "0/1", "90s"]),
        (
            {
                "startTime": "1970-01-01T00:00:00Z",
                "completionTime": "1970-01-01T00:00:30Z",
                "succeeded": 1,
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "30s"],
        ),
    ],
)
def test_job_cells(status: dict[str, Any], shown: list[str]) -> None:
    assert cells(JOBS, {**job(), "status": status}, now=90)[1:4] == shown


def cron(**spec: Any) -> dict[str, Any]:
    return {"spec": {"schedule": "*/5 * * * *", "jobTemplate": job(), **spec}}


@pytest.mark.parametrize(
    "spec", [{}, {"schedule": "@hourly"}, {"schedule": "@every 5m"}, {"timeZone": "Europe/Berlin"}]
)
def test_good_cron_jobs(spec: dict[str, Any]) -> None:
    assert problems(CRON_JOBS, cron(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"schedule": ""}, "spec.schedule"),
        ({"schedule": "* * *"}, "spec.schedule"),
        ({"schedule": "99 * * * *"}, "spec.schedule"),
        ({"schedule": "CRON_TZ=UTC * * * * *"}, "spec.schedule"),
        ({"timeZone": "Moon/Crater"}, "spec.timeZone"),
        ({"timeZone": "Local"}, "spec.timeZone"),
        ({"concurrencyPolicy": "Maybe"}, "spec.concurrencyPolicy"),
    ],
)
def test_bad_cron_jobs(spec: dict[str, Any], field: str) -> None:
    assert [where for where, _ in problems(CRON_JOBS, cron(**spec))] == [field]


def test_a_cron_job_leaves_its_jobs_defaults_to_the_jobs() -> None:
    spec = stored(CRON_JOBS, cron())["spec"]
    assert "backoffLimit" not in spec["jobTemplate"]["spec"]
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert (spec["concurrencyPolicy"], spec["successfulJobsHistoryLimit"]) == ("Allow", 3)


def test_cron_job_cells() -> None:
    assert cells(CRON_JOBS, cron())[1:6] == ["*/5 * * * *", "<none>", "False", 0, "<none>"]


def test_daemon_set_strategy() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": POD["containers"]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    assert problems(DAEMON_SETS, {"spec": spec}) == []
    rolling = {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}
    ((field, _),) = problems(DAEMON_SETS, {"spec": {**spec, "updateStrategy": rolling}})
    assert field == "spec.updateStrategy.rollingUpdate.maxSurge"


def policy(**spec: Any) -> dict[str, Any]:
    return {"spec": {"podSelector": {}, **spec}}


def test_network_policy_defaults() -> None:
    made = stored(NETWORK_POLICIES, policy(egress=[{"ports": [{"port": 53}]}]))["spec"]
    assert made["policyTypes"] == ["Ingress", "Egress"]
    assert made["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]
    assert stored(NETWORK_POLICIES, policy())["spec"]["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize(
    ("peer", "field", "message"),
    [
        ({}, "spec.ingress[0].from[0]", "Required value: must specify a peer"),
        (
            {"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}},
            "spec.ingress[0].from[0]",
            "Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            {"ipBlock": {"cidr": "10.0.0.0"}},
            "spec.ingress[0].from[0].ipBlock.cidr",
            'Invalid value: "10.0.0.0": not a valid CIDR',
        ),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/24"]}},
            "spec.ingress[0].from[0].ipBlock.except[0]",
            'Invalid value: "11.0.0.0/24": must be a strict subset of `cidr`',
        ),
    ],
)
def test_bad_peers(peer: dict[str, Any], field: str, message: str) -> None:
    found = problems(NETWORK_POLICIES, policy(ingress=[{"from": [peer]}]))
    assert (field, message) in found


def test_port_ranges_of_policies() -> None:
    def with_port(**port: Any) -> list[tuple[str, str]]:
        return problems(NETWORK_POLICIES, policy(ingress=[{"ports": [port]}]))

    assert with_port(port=80, endPort=90) == []
    assert with_port(port="http") == []
    assert with_port(port=80, endPort=70)[0][0] == "spec.ingress[0].ports[0].endPort"
    assert with_port(endPort=70)[0][0] == "spec.ingress[0].ports[0].endPort"
    assert with_port(port="http", endPort=70)[0][0] == "spec.ingress[0].ports[0].endPort"


def backend(name: str = "web", **port: Any) -> dict[str, Any]:
    return {"service": {"name": name, "port": port or {"number": 80}}}


def ingress(path: str = "/", kind: str | None = "Prefix", **more: Any) -> dict[str, Any]:
    entry = {"path": path, "pathType": kind, "backend": backend()}
    return {"spec": {"rules": [{"host": "a.example", "http": {"paths": [entry]}, **more}]}}


def test_ingresses() -> None:
    assert problems(INGRESSES, ingress()) == []
    assert problems(INGRESSES, {"spec": {"defaultBackend": backend()}}) == []
    assert cells(INGRESSES, ingress())[1:5] == ["<none>", "a.example", "", "80"]


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        ({"spec": {}}, "spec"),
        (ingress("x"), "spec.rules[0].http.paths[0].path"),
        (ingress("/a/../b"), "spec.rules[0].http.paths[0].path"),
        (ingress(kind=None), "spec.rules[0].http.paths[0].pathType"),
        (ingress(kind="Regex"), "spec.rules[0].http.paths[0].pathType"),
        (ingress(host="10.0.0.1"), "spec.rules[0].host"),
        ({"spec": {"defaultBackend": backend("Web")}}, "spec.defaultBackend.service.name"),
        (
            {"spec": {"defaultBackend": {"service": {"name": "a", "port": {}}}}},
            "spec.defaultBackend",
        ),
        ({"spec": {"defaultBackend": {}}}, "spec.defaultBackend"),
        (
            {"spec": {"defaultBackend": backend(), "tls": [{"hosts": ["*"]}]}},
            "spec.tls[0].hosts[0]",
        ),
    ],
)
def test_bad_ingresses(obj: dict[str, Any], field: str) -> None:
    assert field in [where for where, _ in problems(INGRESSES, obj)]


def test_ingress_classes() -> None:
    assert problems(INGRESS_CLASSES, {"spec": {"controller": "a.example/x"}}) == []
    assert problems(INGRESS_CLASSES, {"spec": {"controller": "x"}})[0][0] == "spec.controller"
    parameters = {"kind": "K", "name": "n", "scope": "Namespace"}
    spec = {"controller": "a.example/x", "parameters": parameters}
    assert problems(INGRESS_CLASSES, {"spec": spec})[0][0] == "spec.parameters.namespace"
    assert cells(INGRESS_CLASSES, {"spec": spec})[1:3] == ["a.example/x", "K/n"]


def test_addresses_and_ranges() -> None:
    parent = {"parentRef": {"resource": "services", "namespace": "d", "name": "s"}}
    address = {"metadata": {"name": "10.96.0.1"}, "spec": parent}
    assert problems(IP_ADDRESSES, address) == []
    assert cells(IP_ADDRESSES, address)[1] == "services/d/s"
    assert problems(IP_ADDRESSES, {"metadata": {"name": "010.1.1.1"}, "spec": parent})
    assert problems(SERVICE_CIDRS, {"spec": {"cidrs": ["10.96.0.0/12"]}}) == []
    assert problems(SERVICE_CIDRS, {"spec": {"cidrs": ["10.96.0.1/12"]}})
    assert problems(SERVICE_CIDRS, {"spec": {"cidrs": ["10.0.0.0/8", "11.0.0.0/8"]}})


def test_roles() -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}
    assert problems(ROLES, {"rules": [rule]}) == []
    assert problems(CLUSTER_ROLES, {"rules": [rule, urls]}) == []
    assert problems(ROLES, {"rules": [urls]})[0][0] == "rules[0].nonResourceURLs"
    assert {field for field, _ in problems(ROLES, {"rules": [{}]})} == {
        "rules[0].verbs",
        "rules[0].apiGroups",
        "rules[0].resources",
    }


def test_bindings() -> None:
    account = {"kind": "ServiceAccount", "name": "a", "namespace": "d"}
    user = {"kind": "User", "name": "u"}
    obj = {"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [account, user]}
    assert problems(CLUSTER_ROLE_BINDINGS, obj) == []
    made = stored(CLUSTER_ROLE_BINDINGS, obj)
    assert made["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert cells(CLUSTER_ROLE_BINDINGS, obj)[1] == "ClusterRole/view"
    assert cells(CLUSTER_ROLE_BINDINGS, obj)[3:] == ["u", "", "d/a"]
    other = {**obj, "roleRef": {"kind": "ClusterRole", "name": "edit"}}
    assert problems(ROLE_BINDINGS, other, stored(ROLE_BINDINGS, obj))[0][0] == "roleRef"
    nobody = {**obj, "subjects": [{"kind": "Robot", "name": "r"}]}
    assert problems(ROLE_BINDINGS, nobody)[0][0] == "subjects[0].kind"


def test_budgets_leases_and_classes() -> None:
    assert problems(POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": "50%"}}) == []
    both = {"spec": {"minAvailable": 1, "maxUnavailable": 1}}
    assert problems(POD_DISRUPTION_BUDGETS, both)[0][0] == "spec"
    assert cells(POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": 1}})[1:3] == ["1", "N/A"]
    assert problems(LEASES, {"spec": {"leaseDurationSeconds": 0}})[0][0] == (
        "spec.leaseDurationSeconds"
    )
    assert problems(PRIORITY_CLASSES, {"value": 5}) == []
    assert problems(PRIORITY_CLASSES, {"value": 2_000_000_000})[0][0] == "value"
    named = {"metadata": {"name": "system-mine"}, "value": 5}
    assert problems(PRIORITY_CLASSES, named)[0][0] == "metadata.name"
    assert problems(STORAGE_CLASSES, {})[0] == ("provisioner", "Required value")
    assert stored(STORAGE_CLASSES, {})["volumeBindingMode"] == "Immediate"


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5, **spec}
    }


def test_autoscalers() -> None:
    assert problems(HORIZONTAL_POD_AUTOSCALERS, autoscaler(behavior={})) == []
    assert problems(HORIZONTAL_POD_AUTOSCALERS, autoscaler(minReplicas=9))[0][0] == (
        "spec.maxReplicas"
    )
    bad = autoscaler(metrics=[{"type": "Pods"}])
    assert problems(HORIZONTAL_POD_AUTOSCALERS, bad)[0][0] == "spec.metrics[0].pods"
    eager = autoscaler(behavior={"scaleUp": {"tolerance": "-10m"}})
    assert problems(HORIZONTAL_POD_AUTOSCALERS, eager) == [
        (
            "spec.behavior.scaleUp.tolerance",
            'Invalid value: "-10m": must be greater than or equal to 0',
        )
    ]
    shown = cells(HORIZONTAL_POD_AUTOSCALERS, autoscaler())
    assert shown[1:6] == ["Deployment/d", "cpu: <unknown>/80%", "1", 5, 0]


def test_the_older_autoscaler_is_a_view() -> None:
    old = autoscaler(targetCPUUtilizationPercentage=50)
    new = versions.to_stored(
        HORIZONTAL_POD_AUTOSCALERS, {"apiVersion": "autoscaling/v1", "metadata": {}, **old}
    )
    assert new["apiVersion"] == "autoscaling/v2"
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    memory = {"type": "Resource", "resource": {"name": "memory"}}
    new["spec"]["metrics"].append(memory)
    back = versions.from_stored(HORIZONTAL_POD_AUTOSCALERS, new, "autoscaling", "v1")
    assert back["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "autoscaling.alpha.kubernetes.io/metrics" in back["metadata"]["annotations"]
    assert (
        versions.to_stored(HORIZONTAL_POD_AUTOSCALERS, back)["spec"]["metrics"]
        == (new["spec"]["metrics"])
    )


def test_events_and_slices_in_other_versions() -> None:
    event = {"apiVersion": "events.k8s.io/v1", "regarding": {"kind": "Pod"}, "note": "hi"}
    core = versions.to_stored(EVENTS, event)
    assert core == {"apiVersion": "v1", "involvedObject": {"kind": "Pod"}, "message": "hi"}
    assert versions.from_stored(EVENTS, core, "events.k8s.io", "v1") == event
    topology = {"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z", "x": "y"}
    beta = {
        "apiVersion": "discovery.k8s.io/v1beta1",
        "endpoints": [{"addresses": ["1.1.1.1"], "topology": topology}],
    }
    stable = versions.to_stored(ENDPOINT_SLICES, beta)
    assert stable["endpoints"][0] == {
        "addresses": ["1.1.1.1"],
        "zone": "z",
        "nodeName": "n",
        "deprecatedTopology": {"x": "y"},
    }
    back = versions.from_stored(ENDPOINT_SLICES, stable, "discovery.k8s.io", "v1beta1")
    assert back["endpoints"][0]["topology"] == topology


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        (EVENTS, {"apiVersion": {}}),
        (ENDPOINT_SLICES, {"apiVersion": "discovery.k8s.io/v1beta1", "endpoints": [5]}),
        (HORIZONTAL_POD_AUTOSCALERS, {"apiVersion": "autoscaling/v1", "spec": [1]}),
    ],
)
def test_misshapen_objects_are_no_defect_of_the_server(kind: Kind, obj: dict[str, Any]) -> None:
    try:
        assert versions.to_stored(kind, obj) is obj
    except ApiError as error:
        assert error.code == 400


def test_reviews_need_no_name() -> None:
    review = {"metadata": {}, "spec": {"resourceAttributes": {"verb": "get"}}}
    assert validate(SELF_SUBJECT_ACCESS_REVIEWS, review) == []
    assert validate(SELF_SUBJECT_ACCESS_REVIEWS, {"metadata": {}, "spec": {}}) != []
