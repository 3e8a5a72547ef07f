from functools import partial
from typing import Any

import pytest

import kind_rules
from netemu.api import meta, names, table
from netemu.api.kinds import SERVICES

problems = partial(kind_rules.problems, SERVICES)
stored = partial(kind_rules.stored, SERVICES)


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    given = list(ports) or [{"port": 80}]
    return {
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"ports": given, "selector": {"app": "web"}, **spec},
    }


def test_defaults() -> None:
    assert stored(service())["spec"] == {
        "type": "ClusterIP",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "web"},
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }


def test_defaults_of_types() -> None:
    assert stored(service(type="NodePort"))["spec"]["externalTrafficPolicy"] == "Cluster"
    balancer = stored(service(type="LoadBalancer"))["spec"]
    assert balancer["allocateLoadBalancerNodePorts"] is True
    affine = stored(service(sessionAffinity="ClientIP"))["spec"]
    assert affine["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_cluster_ip_and_cluster_ips_go_together() -> None:
    assert stored(service(clusterIP="10.96.0.9"))["spec"]["clusterIPs"] == ["10.96.0.9"]
    assert stored(service(clusterIP="None"))["spec"]["clusterIPs"] == ["None"]


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        ({**service(), "spec": {}}, "spec.ports", "Required value"),
        (service({"port": 80}, {"port": 81}), "spec.ports[0].name", "Required value"),
        (
            service({"port": 80, "name": "a"}, {"port": 81, "name": "a"}),
            "spec.ports[1].name",
            'Duplicate value: "a"',
        ),
        (
            service({"port": 80, "name": "a"}, {"port": 80, "name": "b"}),
            "spec.ports[1]",
            'Duplicate value: {"port":80,"protocol":"TCP"}',
        ),
        (
            service({"port": 0}),
            "spec.ports[0].port",
            "Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            service({"port": 80, "nodePort": 30080}),
            "spec.ports[0].nodePort",
            "Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            service(type="Sometimes"),
            "spec.type",
            'Unsupported value: "Sometimes": supported values: "ClusterIP", "ExternalName", '
            '"LoadBalancer", "NodePort"',
        ),
        (
            service(clusterIP="10.96.0.x"),
            "spec.clusterIPs[0]",
            'Invalid value: "10.96.0.x": must be a valid IP address, (e.g. 10.9.8.7 or '
            "2001:db8::ffff)",
        ),
        (
            service(type="NodePort", clusterIP="None"),
            "spec.clusterIPs[0]",
            "Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
        (service(type="ExternalName"), "spec.externalName", "Required value"),
        (
            service(externalIPs=["127.0.0.1"]),
            "spec.externalIPs[0]",
            'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ),
        (
            service(externalIPs=["::ffff:127.0.0.1"]),
            "spec.externalIPs[0]",
            'Invalid value: "::ffff:127.0.0.1": may not be in the loopback range (127.0.0.0/8,'
            " ::1/128)",
        ),
        (
            service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/255.0.0.0"]),
            "spec.LoadBalancerSourceRanges",
            'Invalid value: "[10.0.0.0/255.0.0.0]": must be a list of IP ranges. For example,'
            " 10.240.0.0/24,10.250.0.0/24 ",
        ),
        (
            service(type="LoadBalancer", loadBalancerClass="-bad"),
            "spec.loadBalancerClass",
            f'Invalid value: "-bad": {names.qualified_name("-bad")[0]}',
        ),
        (
            service(type="ExternalName", externalName="a.b", clusterIP="10.96.0.7"),
            "spec.clusterIPs",
            "Forbidden: may not be set for ExternalName services",
        ),
        (
            service(externalTrafficPolicy="Local"),
            "spec.externalTrafficPolicy",
            'Invalid value: "Local": may only be set for externally-accessible services',
        ),
        (
            service(sessionAffinity="x"),
            "spec.sessionAffinity",
            'Unsupported value: "x": supported values: "ClientIP", "None"',
        ),
        (
            service(ipFamilies=["IPv6"], clusterIP="10.96.0.7"),
            "spec.clusterIPs[0]",
            'Invalid value: "10.96.0.7": expected an IPv6 value as indicated by `ipFamilies[0]`',
        ),
        (
            {**service(), "metadata": {"name": "9s", "namespace": "default"}},
            "metadata.name",
            'Invalid value: "9s": a DNS-1035 label must consist of lower case alphanumeric '
            "characters or '-', start with an alphabetic character, and end with an alphanumeric "
            "character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
            "'[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
    ],
)
def test_what_is_refused(obj: dict[str, Any], field: str, message: str) -> None:
    assert (field, message) in problems(obj)


@pytest.mark.parametrize(
    "obj",
    [
        service(),
        service(clusterIP="None"),
        service(type="NodePort"),
        service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"]),
        {"metadata": {"name": "s", "namespace": "d"}, "spec": {"clusterIP": "None"}},
        {
            "metadata": {"name": "s", "namespace": "d"},
            "spec": {"type": "ExternalName", "externalName": "example.com."},
        },
        service(
            {"port": 80, "name": "a", "targetPort": "http"},
            {"port": 53, "name": "b", "protocol": "UDP"},
        ),
    ],
)
def test_good_services(obj: dict[str, Any]) -> None:
    assert problems(obj) == []


@pytest.mark.parametrize(
    ("kind", "ingress", "wrong"),
    [
        ("LoadBalancer", {"ip": "203.0.113.1", "ipMode": "Proxy"}, []),
        ("LoadBalancer", {"hostname": "a.b"}, []),
        (
            "LoadBalancer",
            {"ip": "203.0.113.1", "ipMode": "Router"},
            [("[0].ipMode", 'Unsupported value: "Router": supported values: "Proxy", "VIP"')],
        ),
        (
            "LoadBalancer",
            {"hostname": "a.b", "ipMode": "VIP"},
            [("[0].ipMode", "Forbidden: may not be specified when `ip` is not set")],
        ),
        (
            "ClusterIP",
            {"ip": "203.0.113.1"},
            [("", "Forbidden: may only be used when `spec.type` is 'LoadBalancer'")],
        ),
    ],
)
def test_a_load_balancers_status(
    kind: str, ingress: dict[str, str], wrong: list[tuple[str, str]]
) -> None:
    obj = stored(service(type=kind)) | {"status": {"loadBalancer": {"ingress": [ingress]}}}
    found = [(cause.field, cause.message) for cause in SERVICES.validate_status(obj, None)]
    assert found == [(f"status.loadBalancer.ingress{where}", why) for where, why in wrong]


def allocated(**spec: Any) -> dict[str, Any]:
    return stored(
        service({"port": 80, "nodePort": 30080}, type="NodePort", clusterIP="10.96.0.9", **spec)
    )


def test_an_update_keeps_what_was_allocated() -> None:
    new = stored(service(type="NodePort"), allocated())["spec"]
    assert new["clusterIP"] == "10.96.0.9" and new["clusterIPs"] == ["10.96.0.9"]
    assert new["ports"][0]["nodePort"] == 30080
    assert problems(service(type="NodePort"), allocated()) == []


def test_a_new_type_drops_what_it_has_no_use_for() -> None:
    old = allocated()
    new = meta.copy(old)
    new["spec"]["type"] = "ClusterIP"
    after = stored(new, old)["spec"]
    assert "nodePort" not in after["ports"][0]
    assert "externalTrafficPolicy" not in after
    assert problems(new, old) == []
    new["spec"] |= {"type": "ExternalName", "externalName": "example.com"}
    assert "clusterIP" not in stored(new, old)["spec"]
    assert problems(new, old) == []


def test_the_cluster_ip_stays() -> None:
    changed = service(clusterIP="10.96.0.10", type="NodePort")
    found = problems(changed, allocated())
    assert (
        "spec.clusterIPs[0]",
        'Invalid value: ["10.96.0.10"]: may not change once set',
    ) in found


@pytest.mark.parametrize(
    ("obj", "shown"),
    [
        (service(clusterIP="10.96.0.9"), ["ClusterIP", "10.96.0.9", "<none>", "80/TCP"]),
        (service(clusterIP="None"), ["ClusterIP", "None", "<none>", "80/TCP"]),
        (allocated(), ["NodePort", "10.96.0.9", "<none>", "80:30080/TCP"]),
        (service(type="LoadBalancer"), ["LoadBalancer", "<none>", "<pending>", "80/TCP"]),
        (
            {"spec": {"type": "ExternalName", "externalName": "a.b"}},
            ["ExternalName", "<none>", "a.b", "<none>"],
        ),
        (
            {
                **service(type="LoadBalancer"),
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "h"}]}},
            },
            ["LoadBalancer", "<none>", "1.2.3.4,h", "80/TCP"],
        ),
    ],
)
def test_cells(obj: dict[str, Any], shown: list[str]) -> None:
    made = {**stored(obj), "status": obj.get("status") or {}}
    row = table.render(SERVICES, [made], now=0)["rows"][0]
    assert row["cells"][1:5] == shown
