"""A pod's network: its containers, its node, its ports."""

from __future__ import annotations

from typing import Any

import pytest

from kubelets import ended, sh
from netemu.errors import ApiError


async def test_containers_of_a_pod_talk_over_localhost(cluster: Any) -> None:
    web = {"image": "nginx:1.7.9", "ports": [{"containerPort": 80}]}
    await cluster.create("p", web, sh("sleep 1000"))
    pod = await cluster.ready("p")
    code, output = await cluster.run("p", "wget", "-qO-", "http://127.0.0.1/", container="c1")
    assert code == 0 and "pod: p\n" in output
    code, output = await cluster.run("p", "hostname", container="c0")  # in a stand-in
    assert (code, output) == (0, "p\n")
    assert pod["status"]["podIP"].startswith("10.244.0.")


async def test_a_pod_on_the_hosts_network_has_the_nodes_address(cluster: Any) -> None:
    await cluster.create(
        "p", {"image": "nginx", "ports": [{"containerPort": 8088}]}, hostNetwork=True
    )
    pod = await cluster.ready("p")
    assert pod["status"]["podIP"] == "172.30.0.2"
    output = await cluster.network.at("fabric", "curl", "-s", "http://172.30.0.2:8088/hostname")
    assert output == "p"


async def test_ports_can_be_reached_through_the_kubelet(cluster: Any) -> None:
    await cluster.create("p", {"image": "nginx", "ports": [{"containerPort": 80}]})
    await cluster.ready("p")
    session = await cluster.kubelet.connect("default", "p", 80)
    await session.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    answer = b""
    while part := await session.read():
        answer += part
    await session.close()
    assert answer.endswith(b"\r\n\r\np")
    with pytest.raises(ApiError, match="localhost:81"):
        await cluster.kubelet.connect("default", "p", 81)


async def test_a_host_port_leads_to_the_pod_until_it_goes(cluster: Any) -> None:
    port = {"containerPort": 80, "hostPort": 8099}
    await cluster.create("p", {"image": "nginx", "ports": [port]})
    await cluster.create("q", sh("sleep 1000"))
    for name in ("p", "q"):
        await cluster.ready(name)
    url = "http://172.30.0.2:8099/hostname"
    assert await cluster.network.at("fabric", "curl", "-s", url) == "p"
    assert (
        await cluster.network.at("node-1", "curl", "-s", "http://172.30.0.2:8099/hostname") == "p"
    )
    assert await cluster.run("q", "wget", "-qO-", url) == (0, "p")
    assert await cluster.run("p", "wget", "-qO-", url) == (0, "p")
    await cluster.delete("p")
    assert "CNI-DN-" not in await cluster.network.at("node-1", "iptables-save", "-t", "nat")


async def test_an_ordinary_user_may_serve_port_80(cluster: Any) -> None:
    user = {"securityContext": {"runAsUser": 1000}}
    await cluster.create("p", sh("busybox httpd -p 80", **user), restartPolicy="Never")
    pod = await cluster.until("p", ended)
    assert ended(pod)["exitCode"] == 0, await cluster.logs("p")
