import pytest

from netemu.api.kind import Resource
from netemu.api.kinds import NODES, PODS
from netemu.api.metrics import NODE_METRICS, POD_METRICS
from netemu.client.http import HttpClient
from netemu.client.usage import Measured
from netemu.errors import ApiError


class Usage:
    async def measure(self) -> Measured:
        return Measured(
            nodes={"node-1": {"cpu": 250, "memory": 3 << 20}},
            pods={
                ("default", "web"): {
                    "a": {"cpu": 50, "memory": 1 << 20},
                    "b": {"cpu": 200, "memory": 2 << 20},
                },
                ("default", "gone"): {"a": {"cpu": 1, "memory": 0}},
            },
            window=2.5,
        )


@pytest.fixture
async def asking(make_server):
    server = await make_server(usage=Usage())
    client = server.local_client()
    spec = {"containers": [{"name": name, "image": "x"} for name in "ab"]}
    for name in ("web", "idle"):
        metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
        await client.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
    for name in ("node-1", "node-2"):
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    made = HttpClient.unix(server.socket, user_agent="tests/1.0")
    yield made
    await made.close()


async def names(client: HttpClient, resource: Resource, **selection: str) -> list[str]:
    found = await client.list(resource, **selection)
    return [item["metadata"]["name"] for item in found.items]


async def test_a_pod_has_its_containers_usage(asking: HttpClient) -> None:
    found = await asking.get(POD_METRICS, "web", namespace="default")
    assert found["containers"] == [
        {"name": "a", "usage": {"cpu": "50m", "memory": "1024Ki"}},
        {"name": "b", "usage": {"cpu": "200m", "memory": "2048Ki"}},
    ]
    assert (found["kind"], found["window"]) == ("PodMetrics", "2.500s")
    assert found["metadata"]["labels"] == {"app": "web"}


async def test_a_node_has_its_pods_usage(asking: HttpClient) -> None:
    found = await asking.get(NODE_METRICS, "node-1")
    assert found["usage"] == {"cpu": "250m", "memory": "3072Ki"}


async def test_lists_leave_out_what_has_no_figures(asking: HttpClient) -> None:
    assert await names(asking, POD_METRICS) == ["web"]
    assert await names(asking, NODE_METRICS) == ["node-1"]
    assert await names(asking, POD_METRICS, namespace="kube-system") == []
    assert await names(asking, POD_METRICS, labels="app=web") == ["web"]
    assert await names(asking, POD_METRICS, labels="app=idle") == []


@pytest.mark.parametrize("name", ["idle", "gone", "never"])
async def test_what_has_no_figures_is_not_found(asking: HttpClient, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        await asking.get(POD_METRICS, name, namespace="default")
    assert caught.value.reason == "NotFound"
    assert caught.value.message == f'pods.metrics.k8s.io "{name}" not found'


async def test_metrics_cannot_be_written(asking: HttpClient) -> None:
    with pytest.raises(ApiError) as caught:
        await asking.delete(POD_METRICS, "web", namespace="default")
    assert caught.value.reason == "MethodNotAllowed"


async def test_the_documents_of_the_group_can_be_made(asking: HttpClient) -> None:
    for path in ("/apis/metrics.k8s.io/v1beta1", "/openapi/v3/apis/metrics.k8s.io/v1beta1"):
        assert "PodMetrics" in str(await asking.json("GET", path))
    assert "PodMetrics" in str(await asking.json("GET", "/openapi/v2"))


async def test_without_a_source_the_group_is_not_served(http: HttpClient) -> None:
    with pytest.raises(ApiError) as caught:
        await http.list(POD_METRICS)
    assert caught.value.reason == "NotFound"
