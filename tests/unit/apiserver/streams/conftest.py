import pytest

from host_kubelet import HostKubelet
from netemu.api.kinds import PODS


@pytest.fixture
def kubelet() -> HostKubelet:
    return HostKubelet()


@pytest.fixture
async def server(make_server, kubelet):
    """A server with one running pod, `web`, of the containers `main` and `side`."""
    made = await make_server(kubelets=lambda node: kubelet)
    containers = [{"name": name, "image": "x"} for name in ("main", "side")]
    await made.local_client().create(
        PODS,
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "node-1", "containers": containers},
        },
    )
    return made
