from typing import Any

import pytest

from kind_rules import problems
from netemu.api import meta, table
from netemu.api.kind import Kind
from netemu.api.kinds import (
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from netemu.api.objectrules import validate

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "nginx", "image": "nginx:1.7.9"}]},
}
SELECTOR = {"matchLabels": {"app": "web"}}


def workload(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "w", "namespace": "default"}
    made = {"metadata": metadata, "spec": {"selector": SELECTOR, "template": TEMPLATE, **spec}}
    return meta.copy(made)


ALL = [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: str(kind.kind))
def test_good_ones(kind: Kind) -> None:
    assert problems(kind, workload()) == []


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: str(kind.kind))
def test_the_selector_must_match_the_template(kind: Kind) -> None:
    found = problems(kind, workload(selector={"matchLabels": {"app": "other"}}))
    assert found == [
        (
            "spec.template.metadata.labels",
            'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        )
    ]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: str(kind.kind))
def test_a_selector_is_needed(kind: Kind) -> None:
    missing = workload()
    del missing["spec"]["selector"]
    found = problems(kind, missing)
    assert found[-1][0] == "spec.template.metadata.labels"
    if kind is not DAEMON_SETS:  # as upstream
        assert found[0] == ("spec.selector", "Required value")
    message = f"Invalid value: {{}}: empty selector is invalid for {kind.kind.lower()}"
    assert ("spec.selector", message) in problems(kind, workload(selector={}))


@pytest.mark.parametrize("kind", [DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS])
def test_the_selector_is_immutable(kind: Kind) -> None:
    old = workload()
    kind.default(old)
    labels = {"app": "web", "x": "y"}
    template = {**TEMPLATE, "metadata": {"labels": labels}}
    changed = workload(selector={"matchLabels": labels}, template=template)
    (problem,) = problems(kind, changed, old)
    assert problem[0] == "spec.selector" and problem[1].endswith("field is immutable")


def test_a_stateful_set_changes_only_so_much() -> None:
    old = workload(serviceName="a")
    STATEFUL_SETS.default(old)
    assert problems(STATEFUL_SETS, workload(serviceName="a", replicas=5), old) == []
    ((field, message),) = problems(STATEFUL_SETS, workload(serviceName="b"), old)
    assert field == "spec"
    assert message.startswith("Forbidden: updates to statefulset spec for fields other than")


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"replicas": -1},
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate",
            "Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "spec.strategy.rollingUpdate.maxUnavailable",
            'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            "spec.strategy.rollingUpdate.maxUnavailable",
            'Invalid value: "101%": must not be greater than 100%',
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            "spec.progressDeadlineSeconds",
            "Invalid value: 5: must be greater than minReadySeconds",
        ),
        (
            {"template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}},
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Never": supported values: "Always"',
        ),
    ],
)
def test_bad_deployments(spec: dict[str, Any], field: str, message: str) -> None:
    assert (field, message) in problems(DEPLOYMENTS, workload(**spec))


def test_defaults_of_a_deployment() -> None:
    made = workload()
    DEPLOYMENTS.default(made)
    spec = made["spec"]
    assert spec["replicas"] == 1
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert "enableServiceLinks" not in spec["template"]["spec"]


def test_defaults_of_a_stateful_set() -> None:
    made = workload(volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": {}}])
    STATEFUL_SETS.default(made)
    spec = made["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert spec["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem"


def test_a_replication_controller_selects_by_its_template() -> None:
    made = workload()
    del made["spec"]["selector"]
    REPLICATION_CONTROLLERS.default(made)
    assert made["spec"]["selector"] == {"app": "web"}
    assert made["metadata"]["labels"] == {"app": "web"}
    assert problems(REPLICATION_CONTROLLERS, made) == []


def _cells(kind: Kind, obj: dict[str, Any]) -> list[Any]:
    found: list[Any] = table.render(kind, [obj], now=0)["rows"][0]["cells"]
    return found


def test_cells() -> None:
    obj = workload(replicas=3)
    obj["status"] = {
        "replicas": 3,
        "readyReplicas": 2,
        "updatedReplicas": 3,
        "availableReplicas": 2,
    }
    tail = ["<unknown>", "nginx", "nginx:1.7.9", "app=web"]
    assert _cells(DEPLOYMENTS, obj) == ["w", "2/3", 3, 2, *tail]
    assert _cells(REPLICA_SETS, obj) == ["w", 3, 3, 2, *tail]
    assert _cells(STATEFUL_SETS, obj) == ["w", "2/3", *tail[:-1]]


def test_status_counts() -> None:
    obj = workload()
    obj["status"] = {"replicas": 1, "readyReplicas": 2}
    found = validate(DEPLOYMENTS, obj, obj, subresource="status")
    assert [(cause.field, cause.message) for cause in found] == [
        ("status.readyReplicas", "Invalid value: 2: cannot be greater than status.replicas")
    ]
