"""What a pod's next steps are, for each state its containers may be in."""

from __future__ import annotations

from typing import Any

import pytest

from netemu.node.kubelet.plan import plan_pod
from netemu.node.kubelet.states import RUNNING, ContainerState, Termination, states_of

NOW = 1000.0


def pod(*, policy: str = "Always", init: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]}
    if init:
        spec["initContainers"] = init
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": spec}


def names(states: list[ContainerState]) -> list[str]:
    return [state.name for state in states]


def run(state: ContainerState) -> None:
    state.phase, state.started = RUNNING, True


def end(state: ContainerState, code: int, *, finished: float = NOW) -> None:
    state.end(Termination(code, "Error" if code else "Completed", finished=finished))


def test_all_containers_start_at_once_without_init_containers() -> None:
    states = states_of(pod())
    assert names(plan_pod(pod(), states, NOW, maximum=300).start) == ["a", "b"]


def test_init_containers_run_one_by_one_before_the_others() -> None:
    obj = pod(init=[{"name": "i1"}, {"name": "i2"}])
    states = states_of(obj)
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["i1"]
    run(states["i1"])
    assert plan_pod(obj, states, NOW, maximum=300).start == []
    end(states["i1"], 0)
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["i2"]
    end(states["i2"], 0)
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["a", "b"]


def test_a_sidecar_only_has_to_have_started() -> None:
    obj = pod(init=[{"name": "side", "restartPolicy": "Always"}, {"name": "i"}])
    states = states_of(obj)
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["side"]
    states["side"].phase = RUNNING
    assert plan_pod(obj, states, NOW, maximum=300).start == []
    states["side"].started = True
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["i"]


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    obj = pod(policy="Never", init=[{"name": "i"}])
    states = states_of(obj)
    end(states["i"], 1)
    plan = plan_pod(obj, states, NOW, maximum=300)
    assert plan.over and plan.start == []


@pytest.mark.parametrize(
    ("policy", "code", "starts"),
    [
        ("Always", 0, ["a"]),
        ("Always", 1, ["a"]),
        ("OnFailure", 0, []),
        ("OnFailure", 1, ["a"]),
        ("Never", 0, []),
        ("Never", 1, []),
    ],
)
def test_the_restart_policy_decides_what_starts_again(
    policy: str, code: int, starts: list[str]
) -> None:
    obj = pod(policy=policy)
    states = states_of(obj)
    end(states["a"], code)
    run(states["b"])
    plan = plan_pod(obj, states, NOW, maximum=300)
    assert names(plan.start) == starts and not plan.over


def test_a_crash_loop_waits_longer_each_time_and_forgets_after_a_good_run() -> None:
    obj = pod()
    states = states_of(obj)
    run(states["b"])
    state = states["a"]
    waits = []
    now = NOW
    for _ in range(7):
        end(state, 1, finished=now)
        plan = plan_pod(obj, states, now, maximum=60)
        due = plan.wake or now
        waits.append(due - now)
        assert (plan.start == []) == bool(plan.backing_off)
        state.backoff.next(due, 10, 60)
        state.restart()
        run(state)
        now = due
    assert waits == [0, 10, 20, 40, 60, 60, 60]
    now += 121
    end(state, 1, finished=now)
    assert names(plan_pod(obj, states, now, maximum=60).start) == ["a"]


def test_a_start_that_failed_is_not_tried_before_its_time() -> None:
    states = states_of(pod())
    states["a"].not_before = NOW + 5
    plan = plan_pod(pod(), states, NOW, maximum=300)
    assert (names(plan.start), plan.wake) == (["b"], NOW + 5)


def test_a_pod_is_over_when_no_container_will_run_again() -> None:
    obj = pod(policy="OnFailure")
    states = states_of(obj)
    end(states["a"], 0)
    assert not plan_pod(obj, states, NOW, maximum=300).over
    end(states["b"], 0)
    assert plan_pod(obj, states, NOW, maximum=300).over


def test_an_ephemeral_container_runs_once() -> None:
    obj = pod()
    obj["spec"]["ephemeralContainers"] = [{"name": "debug"}]
    states = states_of(obj)
    for name in ("a", "b"):
        run(states[name])
    assert names(plan_pod(obj, states, NOW, maximum=300).start) == ["debug"]
    end(states["debug"], 1)
    assert plan_pod(obj, states, NOW, maximum=300).start == []
