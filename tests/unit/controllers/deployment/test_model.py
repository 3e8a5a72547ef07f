"""Deployment against a model: within its bounds on the way, all of the newest in the end."""

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
SURGE, UNAVAILABLE = 2, 1


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def test_deployment_follows_its_model(driver, make):
    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.driver = driver()
            self.client = self.driver.cluster.client
            self.wanted = self.ceiling = 3
            self.image, self.broken = "v0", set()
            self.floor = 0
            deployment = make.workload("Deployment", "web", 3, "v0")
            deployment["spec"]["strategy"] = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": UNAVAILABLE},
            }
            self.driver.cluster.kubelets.broken = lambda pod: image_of(pod) in self.broken
            self.driver.do(self.client.create(kinds.DEPLOYMENTS, deployment))
            self.settle()

        def teardown(self):
            self.driver.close()

        def patch(self, spec):
            self.driver.do(self.client.patch(kinds.DEPLOYMENTS, "web", "default", {"spec": spec}))

        def active(self):
            pods = self.driver.do(self.driver.cluster.pods(app="web"))
            return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

        def ready(self):
            return [
                pod
                for pod in self.active()
                if any(
                    c["type"] == "Ready" and c["status"] == "True"
                    for c in (pod.get("status") or {}).get("conditions") or ()
                )
            ]

        @rule(size=st.integers(0, 8), turns=st.integers(0, 60))
        def scale(self, size, turns):
            self.patch({"replicas": size})
            self.wanted, self.ceiling = size, max(self.ceiling, size)
            # A size that has just changed says nothing about how many are ready already.
            self.floor = 0
            self.driver.turns(turns)

        @rule(number=st.integers(0, 4), turns=st.integers(0, 60))
        def update(self, number, turns):
            self.image = f"v{number}"
            self.patch({"template": {"spec": {"containers": [{"name": "c", "image": self.image}]}}})
            self.driver.turns(turns)

        @rule(number=st.integers(5, 6), turns=st.integers(0, 60))
        def update_to_a_bad_one(self, number, turns):
            self.image = f"v{number}"
            self.broken.add(self.image)
            self.patch({"template": {"spec": {"containers": [{"name": "c", "image": self.image}]}}})
            self.driver.turns(turns)

        @rule(turns=st.integers(0, 200))
        def wait_a_little(self, turns):
            self.driver.turns(turns)

        @rule(which=st.integers(0, 10))
        def delete_one(self, which):
            pods = self.active()
            if pods:
                pod = pods[which % len(pods)]
                self.driver.do_to_present(
                    self.client.delete(kinds.PODS, pod["metadata"]["name"], "default")
                )
                self.floor = max(0, self.floor - 1)

        @rule()
        def settle(self):
            self.driver.settle()
            images = [image_of(pod) for pod in self.active()]
            if self.image in self.broken:
                assert len(self.ready()) >= self.floor
                assert images.count(self.image) <= self.wanted + SURGE
            else:
                assert images == [self.image] * self.wanted
                found = self.driver.do(self.client.get(kinds.DEPLOYMENTS, "web", "default"))
                status = found["status"]
                assert status.get("availableReplicas", 0) == self.wanted
                assert status["observedGeneration"] == found["metadata"]["generation"]
                self.floor = max(0, self.wanted - UNAVAILABLE)
                self.ceiling = self.wanted

        @invariant()
        def within_bounds(self):
            # What the sets are told is bounded, as upstream; a set that shrinks takes its time.
            sets = self.driver.do(self.client.list(kinds.REPLICA_SETS, "default")).items
            assert sum(rs["spec"]["replicas"] for rs in sets) <= self.ceiling + SURGE
            assert len(self.ready()) >= self.floor

    run_state_machine_as_test(Machine, settings=SETTINGS)
