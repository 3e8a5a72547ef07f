"""Which resolvers a new daemon waits for."""

from __future__ import annotations

from netemu.api.kinds import PODS
from netemu.client.protocol import ObjectList
from netemu.cluster.resolvers import barrier, expect_resolvers
from netemu.config import ClusterConfig
from netemu.errors import ApiError


def pod(name, image, *, ready=True, command=(), node="node-1"):
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": image, "command": list(command)}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


class Client:
    def __init__(self, *pods, answers=()):
        self.pods, self.answers = pods, list(answers)

    async def list(self, resource, namespace):
        assert (resource, namespace) == (PODS, "kube-system")
        return ObjectList(list(self.pods), 1)

    async def barrier(self, revision=0, *, timeout=30.0):
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


async def test_ours_that_serve_are_expected_and_no_others():
    coredns = "registry.k8s.io/coredns/coredns:v1.13.1"
    pods = [
        pod("ours", coredns),
        pod("elsewhere", coredns, node="node-9"),
        pod("not-ready", coredns, ready=False),
        pod("theirs", coredns, command=["/usr/bin/coredns", "-conf", "/Corefile"]),
        pod("other", "busybox", command=["sleep", "infinity"]),
    ]
    expected = []
    found = await expect_resolvers(Client(*pods), ClusterConfig(), expected.append)
    assert found == expected == ["dns/ours"]


async def test_one_that_does_not_come_back_is_left_out():
    forgotten = []
    late = ApiError("Timeout", "after 8 s revision 7 is not everywhere")
    client = Client(answers=[late, None])
    await barrier(client, ["dns/gone"], forgotten.append)
    assert forgotten == ["dns/gone"]
    assert client.answers == []
