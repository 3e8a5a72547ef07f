"""kubernetes: its options, beside those that the cases' Corefiles have."""

from __future__ import annotations

import json

import pytest

from scenarios.dns.questions import WEB, ask, corefile, fails_to_start, rcode, rows, values

OBJECTS = [
    ("Namespace", "", "prod", {"tier": "prod"}, {}),
    ("Namespace", "", "test", {"tier": "test"}, {}),
    ("Service", "prod", "open", {"expose": "yes"}, {"clusterIP": "10.96.0.1"}),
    ("Service", "prod", "shut", {"expose": "no"}, {"clusterIP": "10.96.0.2"}),
    ("Service", "test", "open", {"expose": "yes"}, {"clusterIP": "10.96.0.3"}),
]


@pytest.fixture
def labelled(start_resolver, tmp_path):
    """A resolver with some options, on objects with labels."""
    path = tmp_path / "o.json"
    items = [
        {
            "kind": kind,
            "metadata": {"name": name, "namespace": space, "labels": labels},
            "spec": spec,
        }
        for kind, space, name, labels, spec in OBJECTS
    ]
    items += [
        {
            "kind": "Pod",
            "metadata": {"name": f"p{n}", "namespace": "prod", "labels": {"expose": expose}},
            "status": {"phase": "Running", "podIP": f"10.244.0.{n}"},
        }
        for n, expose in ((1, "yes"), (2, "no"))
    ]
    path.write_text(json.dumps({"kind": "List", "items": items}))

    def start(*options: str, zone: str = "cluster.local", rest: str = "whoami"):
        lines = "\n".join(options)
        text = corefile(f"kubernetes {zone} in-addr.arpa {{\n{lines}\n}}", rest)
        return start_resolver(text, objects=[path])

    return start


def exists(resolver, name: str, zone: str = "cluster.local.") -> bool:
    return rcode(ask(resolver, f"{name}.{zone}")) == "NOERROR"


def test_labels_choose_services(labelled):
    resolver = labelled("labels expose=yes")
    assert exists(resolver, "open.prod.svc")
    assert exists(resolver, "open.test.svc")
    assert not exists(resolver, "shut.prod.svc")
    assert rcode(ask(resolver, "2.0.96.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


@pytest.mark.parametrize("expression", ["expose in (yes), expose!=no", "expose notin (no)"])
def test_labels_have_the_whole_syntax(labelled, expression):
    resolver = labelled(f"labels {expression}")
    assert exists(resolver, "open.prod.svc")
    assert not exists(resolver, "shut.prod.svc")


def test_labels_choose_verified_pods_too(labelled):
    resolver = labelled("labels expose=yes", "pods verified")
    assert exists(resolver, "10-244-0-1.prod.pod")
    assert not exists(resolver, "10-244-0-2.prod.pod")


def test_namespace_labels(labelled):
    resolver = labelled("namespace_labels tier=prod")
    assert exists(resolver, "open.prod.svc")
    assert exists(resolver, "prod.svc")
    assert not exists(resolver, "open.test.svc")
    assert not exists(resolver, "test.svc")


def test_namespaces(labelled):
    resolver = labelled("namespaces test")
    assert exists(resolver, "open.test.svc")
    assert not exists(resolver, "open.prod.svc")


def test_the_zones_of_the_block_when_it_names_none(start_resolver):
    resolver = start_resolver(corefile("kubernetes", zone="other.domain"))
    assert values(ask(resolver, "web.alpha.svc.other.domain.")) == ["10.96.10.1"]
    assert rcode(ask(resolver, WEB)) == "REFUSED"


@pytest.mark.parametrize(
    ("option", "zone"),
    [
        ("", []),
        ("fallthrough", ["absent.cluster.local.", "1.1.1.1.in-addr.arpa."]),
        ("fallthrough in-addr.arpa", ["1.1.1.1.in-addr.arpa."]),
        ("fallthrough cluster.local", ["absent.cluster.local."]),
    ],
    ids=["none", "all", "reverse", "forward"],
)
def test_fallthrough(start_resolver, option, zone):
    """What does not exist is asked of the plugin behind (`hosts` is before, so `file` and on)."""
    text = corefile(
        f"kubernetes cluster.local in-addr.arpa {{\n{option}\n}}", "forward . {upstream}"
    )
    resolver = start_resolver(text)
    for name in ("absent.cluster.local.", "1.1.1.1.in-addr.arpa."):
        soa = rows(ask(resolver, name), "authority")[0]
        assert soa.startswith("example.test.") == (name in zone)
    assert values(ask(resolver, WEB)) == ["10.96.10.1"]


def test_where_the_api_is_may_stand_there(labelled):
    """A Corefile of a real cluster's is taken; the command line says where the API is."""
    resolver = labelled("endpoint https://k8s:6443", "tls cert key ca", "kubeconfig /k context")
    assert exists(resolver, "open.prod.svc")


@pytest.mark.parametrize(("ttl", "seen"), [("", 5), ("ttl 0", 0), ("ttl 3600", 3600)])
def test_ttl(labelled, ttl, seen):
    resolver = labelled(ttl)
    assert rows(ask(resolver, "open.prod.svc.cluster.local."))[0].split()[1] == str(seen)
    soa = rows(ask(resolver, "absent.prod.svc.cluster.local."), "authority")[0].split()
    assert (soa[1], soa[-1]) == (str(min(seen, 300)), str(seen))


def test_eight_aliases_are_followed_and_no_more(start_resolver, tmp_path):
    """CoreDNS gives up behind the eighth: NODATA, without what it has found so far."""

    def service(name: str, **spec: str) -> dict:
        return {"kind": "Service", "metadata": {"name": name, "namespace": "a"}, "spec": spec}

    objects = [
        {"kind": "Namespace", "metadata": {"name": "a"}},
        service("c0", clusterIP="10.96.0.9"),
    ]
    for number in range(1, 10):
        target = f"c{number - 1}.a.svc.cluster.local"
        objects.append(service(f"c{number}", type="ExternalName", externalName=target))
    path = tmp_path / "o.json"
    path.write_text(json.dumps({"kind": "List", "items": objects}))
    resolver = start_resolver(corefile("kubernetes cluster.local"), objects=[path])
    followed = rows(ask(resolver, "c8.a.svc.cluster.local."))
    assert len(followed) == 9 and followed[-1].endswith("A 10.96.0.9")
    refused = ask(resolver, "c9.a.svc.cluster.local.")
    assert (rcode(refused), rows(refused)) == ("NOERROR", [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["ttl 3601"], "ttl: '3601' is not a number from 0 to 3600"),
        (["ttl -1"], "ttl: '-1' is not a number"),
        (["namespaces a", "namespace_labels b=c"], "exclude each other"),
        (["pods maybe"], "is not one of disabled, insecure, verified"),
        (["ignore everything"], "the only thing to ignore is empty_service"),
        (["multicluster clusterset.local"], "must be a zone of the plugin as well"),
        (["labels"], "needs a label selector"),
        (["nonsense"], "is not an option of kubernetes"),
    ],
)
def test_mistakes(tmp_path, options, said):
    lines = "\n".join(options)
    assert said in fails_to_start(corefile(f"kubernetes cluster.local {{\n{lines}\n}}"), tmp_path)
