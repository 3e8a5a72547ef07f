"""kr8s, unmodified."""

import asyncio

import pytest

kr8s = pytest.importorskip("kr8s")
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod  # noqa: E402

WEB = {"app": "web"}


@pytest.fixture
async def api(kubeconfig):
    made = await kr8s.asyncio.api(kubeconfig=kubeconfig)
    yield made
    await made._session.aclose()  # it has no way of its own to close
    made._session = None


def spec(name="web"):
    containers = [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}]
    return {"metadata": {"name": name, "labels": WEB}, "spec": {"containers": containers}}


async def test_objects(api):
    made = await ConfigMap({"metadata": {"name": "kr8s"}, "data": {"a": "1"}}, api=api)
    await made.create()
    assert await made.exists()
    await made.patch({"data": {"b": "2"}})
    await made.refresh()
    assert made.data == {"a": "1", "b": "2"}
    await made.label({"x": "y"})
    found = [one async for one in api.get("configmaps", label_selector={"x": "y"})]
    assert [one.name for one in found] == ["kr8s"]
    await made.delete()
    assert not await made.exists()


async def test_a_pod_runs_and_takes_commands(api):
    pod = await Pod(spec("kr8s-pod"), api=api)
    await pod.create()
    await pod.wait("condition=Ready", timeout=60)
    assert await pod.ready()
    assert [line async for line in pod.logs()][0].startswith("line 0")
    done = await pod.exec(["echo", "hello"])
    assert (done.stdout, done.returncode) == (b"hello\n", 0)
    await pod.delete()
    await pod.wait("delete", timeout=60)


async def test_a_deployment_scales(api):
    template = {"metadata": {"labels": WEB}, "spec": spec()["spec"]}
    deployment = await Deployment(
        {
            "metadata": {"name": "kr8s"},
            "spec": {"replicas": 1, "selector": {"matchLabels": WEB}, "template": template},
        },
        api=api,
    )
    await deployment.create()
    await deployment.scale(3)
    await deployment.wait("condition=Available", timeout=60)
    assert deployment.replicas == 3
    await deployment.delete()


async def test_ports_and_watches(api, page):
    pod = await Pod(spec("kr8s-ports"), api=api)
    await pod.create()
    await pod.wait("condition=Ready", timeout=60)
    async with pod.portforward(remote_port=page, local_port="auto") as port:
        for path in ("/one", "/two"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert (await asyncio.wait_for(reader.read(), 60)).endswith(f"GET {path}".encode())
            writer.close()
    async for kind, seen in api.watch("pods", field_selector="metadata.name=kr8s-ports"):
        assert (kind, seen.name) == ("ADDED", "kr8s-ports")
        break
    await pod.delete()
