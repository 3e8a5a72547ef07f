"""ReplicaSet against a model: as many pods as wanted in the end, never more on the way."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from netemu.api import kinds

SETTINGS = settings(
    max_examples=20,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_replicaset_follows_its_model(driver, make):
    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.driver = driver()
            self.client = self.driver.cluster.client
            self.wanted = self.ceiling = 2
            self.orphans = 0
            """Pods that the controller may not have heard of when it makes its own."""
            self.driver.do(
                self.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 2))
            )

        def teardown(self):
            self.driver.close()

        def pods(self):
            return self.driver.do(self.driver.cluster.pods(app="web"))

        def active(self):
            return [
                pod
                for pod in self.pods()
                if "deletionTimestamp" not in pod["metadata"]
                and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ]

        @rule(size=st.integers(0, 8), turns=st.integers(0, 30))
        def scale(self, size, turns):
            patch = {"spec": {"replicas": size}}
            self.driver.do(self.client.patch(kinds.REPLICA_SETS, "web", "default", patch))
            self.wanted, self.ceiling = size, max(self.ceiling, size + self.orphans)
            self.driver.turns(turns)

        @rule(which=st.integers(0, 10), turns=st.integers(0, 30))
        def delete_one(self, which, turns):
            pods = self.pods()
            if pods:
                pod = pods[which % len(pods)]
                self.driver.do_to_present(
                    self.client.delete(kinds.PODS, pod["metadata"]["name"], "default")
                )
            self.driver.turns(turns)

        @rule(which=st.integers(0, 10), turns=st.integers(0, 30))
        def fail_one(self, which, turns):
            pods = self.active()
            if pods:
                pod = pods[which % len(pods)]
                patch = {"status": {"phase": "Failed"}}
                where = pod["metadata"]["name"], "default"
                self.driver.do_to_present(
                    self.client.patch(kinds.PODS, *where, patch, subresource="status")
                )
            self.driver.turns(turns)

        @rule(turns=st.integers(0, 30))
        def add_an_orphan(self, turns):
            pod = make.pod("orphan", {"app": "web"})
            pod["metadata"] = {
                "generateName": "orphan-",
                "namespace": "default",
                "labels": {"app": "web"},
            }
            self.driver.do(self.client.create(kinds.PODS, pod))
            self.ceiling += 1
            self.orphans += 1
            self.driver.turns(turns)

        @rule()
        def settle(self):
            self.driver.settle()
            assert len(self.active()) == self.wanted
            self.ceiling, self.orphans = self.wanted, 0
            found = self.driver.do(self.client.get(kinds.REPLICA_SETS, "web", "default"))
            status = found.get("status") or {}
            assert status["replicas"] == self.wanted
            assert status.get("readyReplicas", 0) == self.wanted
            assert status["observedGeneration"] == found["metadata"]["generation"]

        @invariant()
        def never_too_many(self):
            assert len(self.active()) <= self.ceiling

    run_state_machine_as_test(Machine, settings=SETTINGS)
