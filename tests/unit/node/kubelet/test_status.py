"""A pod's status as Kubernetes has it, for the states of its containers."""

from __future__ import annotations

from typing import Any

import pytest

from netemu.node.kubelet.states import (
    RUNNING,
    STARTING,
    TERMINATED,
    ContainerState,
    Termination,
    states_of,
)
from netemu.node.kubelet.status import Circumstances, compile_status

NOW = 1_750_000_000.0
STAMP = "2025-06-15T15:06:40Z"


def pod(*, policy: str = "Always", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "nginx:1.7.9"}]
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"restartPolicy": policy, "containers": containers, **spec},
    }


def around(**more: Any) -> Circumstances:
    return Circumstances(
        pod_ips=("10.244.1.2",), host_ips=("172.30.0.2",), started=NOW, has_network=True, **more
    )


def run(state: ContainerState, *, ready: bool = True) -> None:
    state.phase, state.reason, state.id = RUNNING, "", "abc"
    state.started_at, state.started, state.ready = NOW, True, ready


def compiled(obj: dict[str, Any], states: dict[str, ContainerState]) -> dict[str, Any]:
    return compile_status(obj, states, around(), NOW)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


def test_a_running_pod_says_everything_that_clients_wait_for() -> None:
    states = states_of(pod())
    run(states["c"])
    status = compiled(pod(), states)
    assert status["phase"] == "Running"
    assert set(conditions(status).values()) == {"True"}
    assert {"Initialized", "Ready", "ContainersReady", "PodScheduled"} <= set(conditions(status))
    assert status["podIPs"] == [{"ip": "10.244.1.2"}] and status["hostIP"] == "172.30.0.2"
    assert (status["startTime"], status["qosClass"]) == (STAMP, "BestEffort")
    (container,) = status["containerStatuses"]
    assert container["state"] == {"running": {"startedAt": STAMP}}
    assert container["image"] == "docker.io/library/nginx:1.7.9"
    assert container["containerID"] == "netemu://abc"
    assert container["imageID"].startswith("docker.io/library/nginx@sha256:")


def test_a_pod_that_starts_is_pending_and_says_which_containers_lack() -> None:
    states = states_of(pod())
    states["c"].phase = STARTING
    status = compiled(pod(), states)
    assert status["phase"] == "Pending"
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [c]",
    )
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"


def test_unfinished_init_containers_keep_the_pod_pending() -> None:
    obj = pod(initContainers=[{"name": "i", "image": "busybox"}])
    states = states_of(obj)
    run(states["i"])
    status = compiled(obj, states)
    assert status["phase"] == "Pending" and conditions(status)["Initialized"] == "False"
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "PodInitializing"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 3, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 3, "Running"),
        ("Always", 0, "Running"),
    ],
)
def test_the_phase_after_an_exit(policy: str, code: int, phase: str) -> None:
    obj = pod(policy=policy)
    states = states_of(obj)
    states["c"].end(Termination(code, "Error" if code else "Completed", finished=NOW))
    status = compiled(obj, states)
    assert status["phase"] == phase
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_a_crash_loop_waits_and_tells_how_it_ended_last() -> None:
    states = states_of(pod())
    state = states["c"]
    state.end(Termination(1, "Error", finished=NOW))
    state.reason, state.message = "CrashLoopBackOff", "back-off 10s"
    (container,) = compiled(pod(), states)["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1


def test_transition_times_stay_while_a_condition_does_not_change() -> None:
    obj = pod()
    states = states_of(obj)
    run(states["c"])
    obj["status"] = compiled(obj, states)
    later = compile_status(obj, states, around(), NOW + 60)
    assert later == obj["status"]
    states["c"].ready = False
    later = compile_status(obj, states, around(), NOW + 60)
    changed = {each["type"]: each["lastTransitionTime"] for each in later["conditions"]}
    assert changed["Ready"] != STAMP and changed["Initialized"] == STAMP


def test_a_readiness_gate_holds_ready_back_and_foreign_conditions_are_kept() -> None:
    obj = pod(readinessGates=[{"conditionType": "example.com/lb"}])
    states = states_of(obj)
    run(states["c"])
    status = compiled(obj, states)
    assert (conditions(status)["ContainersReady"], conditions(status)["Ready"]) == ("True", "False")
    obj["status"] = {"conditions": [{"type": "example.com/lb", "status": "True"}]}
    status = compiled(obj, states)
    assert conditions(status)["Ready"] == "True"
    assert conditions(status)["example.com/lb"] == "True"


def test_a_pod_put_down_has_failed_with_the_reason() -> None:
    states = states_of(pod())
    states["c"].phase = TERMINATED
    failed = around(failed=("DeadlineExceeded", "too long"))
    status = compile_status(pod(), states, failed, NOW)
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "DeadlineExceeded",
        "too long",
    )


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (143, "Failed"), (None, "Failed")])
def test_the_last_phase_of_a_deleted_pod_is_final_whatever_its_policy(
    code: int | None, phase: str
) -> None:
    obj = pod(policy="Always")
    states = states_of(obj)
    if code is not None:
        states["c"].phase = TERMINATED
        states["c"].termination = Termination(code=code, reason="Error")
    assert compile_status(obj, states, around(stopped=True), NOW)["phase"] == phase


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_one_that_ended_before_its_start_was_heard_of_does_not_wait(policy: str) -> None:
    states = states_of(pod())
    states["c"].phase, states["c"].reason = STARTING, "ContainerCreating"
    states["c"].end(Termination(0, "Completed", finished=NOW))
    (container,) = compiled(pod(policy=policy), states)["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
