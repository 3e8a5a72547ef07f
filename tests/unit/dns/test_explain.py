from __future__ import annotations

from pathlib import Path

import pytest

from netemu.dns.explain import explain
from netemu.dns.source.files import read_objects

WORLD = Path(__file__).parents[2] / "scenarios/dns"
OBJECTS = [obj for name in ("world.yaml", "pods.yaml") for obj in read_objects(WORLD / name)] + [
    {
        "kind": "Service",
        "metadata": {"name": "lonely", "namespace": "alpha"},
        "spec": {"clusterIP": "None", "selector": {"app": "x"}},
    },
    {
        "kind": "Pod",
        "metadata": {"name": "worker", "namespace": "alpha", "labels": {"app": "x"}},
        "spec": {},
    },
]


@pytest.mark.parametrize(
    ("name", "exists", "said"),
    [
        ("web.alpha", True, "Service alpha/web makes it exist, with its ClusterIP 10.96.10.1"),
        ("web.alpha.svc.cluster.local.", True, "Service alpha/web"),
        ("bare.alpha", True, "no endpoint is ready"),
        ("wep.alpha", False, 'there is no Service "wep" in namespace "alpha"; did you mean "web"?'),
        ("web.hollow", False, "there is one of that name in alpha"),
        ("web.aplha", False, 'there is no Namespace "aplha"; did you mean "alpha"?'),
        ("hollow.svc", None, 'Namespace "hollow" makes it exist, without records'),
        ("svc.cluster.local.", None, "part of the schema"),
        ("db-0.db.alpha", True, "EndpointSlice alpha/db-1: 10.244.2.1, named db-0"),
        ("db-3.db.alpha", False, "10.244.2.4 (db-3) is not ready"),
        ("db-4.db.alpha", False, "10.244.2.5 (db-4) is terminating"),
        ("db-9.db.alpha", False, 'no endpoint named "db-9"; it has: 10-244-2-3, db-0'),
        ("asleep.alpha", False, "no endpoint of it is ready"),
        ("lonely.alpha", False, "pods that match its selector app=x: worker"),
        ("worker.lonely.alpha", False, "spec.subdomain: lonely (it has hostname unset"),
        ("worker.alpha", False, "pods have no names of their own"),
        ("_http._udp.web.alpha.svc", False, "it has _http._tcp, _dns._udp, _diameter._sctp"),
        ("_http._tcp.web.alpha.svc", True, "Service alpha/web"),
        ("outside.alpha", True, "makes a CNAME to www.example.test"),
        ("x.outside.alpha", False, "nothing exists below it"),
        ("10-244-5-5.alpha.pod", True, "Pod alpha/alive has it"),
        ("nope.alpha.pod", False, "is no address with dashes"),
        ("1.10.96.10.in-addr.arpa.", True, "Service alpha/web has this ClusterIP"),
        ("2.2.244.10.in-addr.arpa.", True, "EndpointSlice alpha/db-1 of Service db: db-1"),
        ("4.2.244.10.in-addr.arpa.", False, "it is there, but is not ready"),
        ("x.y.z.cluster.local.", False, "no name of the schema"),
        ("www.example.com.", None, "forwarded to the upstream"),
    ],
)
def test_explanations(name, exists, said):
    found = explain(name, OBJECTS)
    assert said in "\n".join(found.lines)
    assert found.exists is exists


@pytest.mark.parametrize(
    ("mode", "name", "exists"),
    [
        ("disabled", "10-244-5-5.alpha.pod", False),
        ("verified", "10-244-5-5.alpha.pod", True),
        ("verified", "10-244-5-9.alpha.pod", False),
        ("insecure", "10-244-5-9.alpha.pod", True),
    ],
)
def test_pod_modes(mode, name, exists):
    assert explain(name, OBJECTS, pods=mode).exists is exists
