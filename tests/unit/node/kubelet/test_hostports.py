from __future__ import annotations

from typing import Any

from netemu.node.kubelet.hostports import (
    PortMapping,
    chain_name,
    compile_removal,
    compile_rules,
    host_ports,
)


def pod(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "default", "uid": "u1"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "ports": ports}], **spec}}


def test_only_ports_of_the_host_are_mapped() -> None:
    obj = pod(
        {"containerPort": 80},
        {"containerPort": 81, "hostPort": 8081, "protocol": "UDP", "hostIP": "0.0.0.0"},
        {"containerPort": 82, "hostPort": 8082, "hostIP": "172.30.0.2"},
    )
    assert host_ports(obj) == (
        PortMapping("", 8081, 81, "udp"),
        PortMapping("172.30.0.2", 8082, 82, "tcp"),
    )
    assert host_ports(pod({"containerPort": 80, "hostPort": 80}, hostNetwork=True)) == ()


def test_rules_and_their_removal() -> None:
    rules = compile_rules(pod(), [PortMapping("", 8080, 80, "tcp")], "10.244.1.2").splitlines()
    chain = chain_name("u1")
    assert len(chain) == 28
    jump = (
        f"-A CNI-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -m comment --comment "
        f'"dnat name: default/p" -j {chain}'
    )
    assert jump in rules
    assert f"-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.1.2:80" in rules
    removal = compile_removal("\n".join(rules), "u1").splitlines()
    assert removal == [
        "*nat",
        f":{chain} - [0:0]",
        jump.replace("-A", "-D", 1),
        f"-X {chain}",
        "COMMIT",
    ]
    assert compile_removal("", "u1") == ""


def test_an_address_of_the_other_family_is_left_out() -> None:
    mapping = PortMapping("172.30.0.2", 8080, 80, "tcp")
    assert "DNAT --to" not in compile_rules(pod(), [mapping], "fd00::2")
