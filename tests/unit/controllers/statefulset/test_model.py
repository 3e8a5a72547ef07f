"""StatefulSet against a model: in order on the way, each ordinal of its version in the end."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from netemu.api import kinds
from netemu.api.meta import name

SETTINGS = settings(
    max_examples=20,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def test_statefulset_follows_its_model(driver, make):
    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.driver = driver()
            self.client = self.driver.cluster.client
            self.wanted, self.partition, self.image = 2, 0, "v0"
            self.images = {}
            self.holes = set()
            owner = make.workload("StatefulSet", "web", 2, "v0", serviceName="web")
            self.driver.do(self.client.create(kinds.STATEFUL_SETS, owner))
            self.settle()

        def teardown(self):
            self.driver.close()

        def patch(self, spec):
            self.driver.do(self.client.patch(kinds.STATEFUL_SETS, "web", "default", {"spec": spec}))

        def pods(self):
            pods = self.driver.do(self.driver.cluster.pods(app="web"))
            return {int(name(pod).rpartition("-")[2]): pod for pod in pods}

        @rule(size=st.integers(0, 5), turns=st.integers(0, 80))
        def scale(self, size, turns):
            self.patch({"replicas": size})
            self.wanted = size
            self.driver.turns(turns)

        @rule(number=st.integers(0, 3), turns=st.integers(0, 80))
        def update(self, number, turns):
            self.image = f"v{number}"
            self.patch({"template": {"spec": {"containers": [{"name": "c", "image": self.image}]}}})
            self.holes |= set(range(6))  # an update stops pods in the middle
            self.driver.turns(turns)

        @rule(partition=st.integers(0, 4), turns=st.integers(0, 80))
        def set_partition(self, partition, turns):
            self.partition = partition
            self.patch({"updateStrategy": {"rollingUpdate": {"partition": partition}}})
            self.holes |= set(range(6))
            self.driver.turns(turns)

        @rule(which=st.integers(0, 5), turns=st.integers(0, 80))
        def delete_one(self, which, turns):
            if which in self.pods():
                self.driver.do_to_present(self.client.delete(kinds.PODS, f"web-{which}", "default"))
                self.holes.add(which)
            self.driver.turns(turns)

        @rule()
        def settle(self):
            self.driver.settle()
            pods = self.pods()
            assert sorted(pods) == list(range(self.wanted))
            above = {image_of(pods[ordinal]) for ordinal in pods if ordinal >= self.partition}
            assert above <= {self.image}
            found = self.driver.do(self.client.get(kinds.STATEFUL_SETS, "web", "default"))
            status = found["status"]
            assert status["replicas"] == self.wanted == status.get("readyReplicas", 0)
            assert status["observedGeneration"] == found["metadata"]["generation"]
            self.holes = set()

        @invariant()
        def in_order(self):
            """No pod without those before it, except where somebody made a hole."""
            pods = self.pods()
            for ordinal in pods:
                missing = set(range(ordinal)) - set(pods) - self.holes
                assert not missing, f"web-{ordinal} without {sorted(missing)}"

    run_state_machine_as_test(Machine, settings=SETTINGS)
