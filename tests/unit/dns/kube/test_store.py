"""Objects become views, views become indexes, changes become tags."""

from __future__ import annotations

import msgspec
import pytest

from netemu.dns.kube import objects
from netemu.dns.kube.lookup import Asked, View, find, parse, pod_address, reverse, reverse_address
from netemu.dns.kube.store import SOA, Store

A1, A2 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


def service(name="s", *, spec=None, **fields):
    raw = {"metadata": {"name": name, "namespace": "ns"}, "spec": spec or fields}
    return msgspec.convert(raw, objects.RawService)


def slice_(name, endpoints, *, owner="s", ports=({"name": "http", "port": 80},), kind="IPv4"):
    labels = {objects.SERVICE_NAME: owner}
    metadata = {"name": name, "namespace": "ns", "labels": labels}
    raw = {"metadata": metadata, "addressType": kind, "endpoints": endpoints, "ports": list(ports)}
    return msgspec.convert(raw, objects.RawSlice)


def filled(*things) -> Store:
    store = Store()
    store.set_namespace("ns", True, 1)
    for thing in things:
        if isinstance(thing, objects.RawService):
            store.set_service(objects.key_of(thing.metadata), objects.service(thing, []), 1)
        else:
            made = objects.endpoint_slice(thing, [])
            store.set_slice(objects.key_of(thing.metadata), made, 1)
    return store


def test_problems_are_told_and_the_rest_is_kept():
    problems: list[str] = []
    view = objects.service(service(clusterIPs=["10.0.0.1", "nonsense"]), problems)
    assert view.addresses == (A1,)
    assert problems == ["Service ns/s: spec.clusterIPs: 'nonsense' is not an IP address"]
    made = objects.endpoint_slice(
        slice_("x", [{"addresses": ["10.0.0.1"], "hostname": "h" * 64}]), problems
    )
    assert made.endpoints[0].label == "10-0-0-1"
    assert "over 63 octets" in problems[1]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"clusterIP": "None"}, objects.HEADLESS),
        ({"clusterIP": "10.0.0.1"}, objects.CLUSTER_IP),
        ({"clusterIPs": ["fd00::1"]}, objects.CLUSTER_IP),
        ({"type": "ExternalName", "externalName": "a.b."}, objects.EXTERNAL),
        ({"type": "ExternalName", "externalName": "10.1.2.3"}, None),
        ({"type": "ExternalName", "externalName": "x..y"}, None),
        ({"type": "ExternalName"}, None),
        ({"clusterIP": ""}, None),
        ({}, None),
    ],
)
def test_kinds_of_services(fields, kind):
    view = objects.service(service(**fields), [])
    assert (view.kind if view else None) == kind


def test_readiness():
    view = objects.endpoint_slice(
        slice_(
            "x",
            [
                {"addresses": ["10.0.0.1"]},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": False, "serving": True}},
                {"addresses": ["10.0.0.4"], "conditions": {}},
            ],
        ),
        [],
    )
    assert [e.address[3] for e in view.endpoints] == [1, 2, 4]


def test_pod_names():
    raw = slice_(
        "x",
        [
            {"addresses": ["10.0.0.1"], "targetRef": {"name": "web-0"}},
            {"addresses": ["10.0.0.2"], "targetRef": {"name": "p" * 64}},
            {"addresses": ["10.0.0.3"], "targetRef": {"name": "web-1"}, "hostname": "own"},
        ],
    )
    named = objects.endpoint_slice(raw, [], pod_names=True)
    assert [e.label for e in named.endpoints] == ["web-0", "10-0-0-2", "own"]
    plain = objects.endpoint_slice(raw, [])
    assert [e.label for e in plain.endpoints] == ["10-0-0-1", "10-0-0-2", "own"]


def test_one_bad_object_does_not_spoil_a_list():
    body = b'{"metadata":{"resourceVersion":"7","continue":"c"},"items":[{"spec":{"ports":7}},{}]}'
    found, revision, token, problems = objects.decode_list(body, objects.RawService)
    assert (len(found), revision, token, len(problems)) == (1, "7", "c", 1)


class TestTags:
    def heard(self, store: Store) -> list[set]:
        told: list[set] = []
        store.watch(lambda tags: told.append(set(tags)))
        return told

    def test_a_change_tells_its_service_and_addresses(self):
        store = filled(service(clusterIP="10.0.0.1"))
        told = self.heard(store)
        store.set_service("ns/s", objects.service(service(clusterIP="10.0.0.2"), []), 1)
        assert told == [{"ns/s", A1, A2}]

    def test_no_change_tells_nothing_and_keeps_the_serial(self):
        store = filled(service(clusterIP="10.0.0.1"))
        told = self.heard(store)
        store.set_service("ns/s", objects.service(service(clusterIP="10.0.0.1"), []), 99)
        assert told == []
        assert store.serial == 1

    def test_the_serial_is_the_second_of_the_last_change(self):
        store = filled()
        told = self.heard(store)
        store.set_namespace("other", True, 50.7)
        assert store.serial == 50
        assert told == [{"other", SOA}]

    def test_a_slice_that_moves_to_another_service(self):
        store = filled(slice_("x", [{"addresses": ["10.0.0.1"]}]))
        told = self.heard(store)
        moved = objects.endpoint_slice(slice_("x", [{"addresses": ["10.0.0.2"]}], owner="t"), [])
        store.set_slice("ns/x", moved, 1)
        assert told == [{"ns/s", "ns/t", A1, A2}]
        assert store.by_service.get("ns/s") == ()
        assert store.by_endpoint.get(A1) == ()

    def test_all_is_gone_after_deletion(self):
        store = filled(
            service(clusterIP="10.0.0.9"),
            slice_("x", [{"addresses": ["10.0.0.1"]}]),
            slice_("y", [{"addresses": ["10.0.0.1"]}]),
        )
        assert len(store.by_endpoint.get(A1)) == 2
        store.set_slice("ns/x", None, 1)
        assert [s.key for s in store.by_endpoint.get(A1)] == ["ns/y"]
        store.set_slice("ns/y", None, 1)
        store.set_service("ns/s", None, 1)
        assert not store.slices
        assert not store.services
        assert store.by_endpoint.get(A1) == store.by_service.get("ns/s") == ()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", Asked()),
        ("svc", Asked("svc")),
        ("ns.svc", Asked("svc", "ns")),
        ("s.ns.svc", Asked("svc", "ns", "s")),
        ("e.s.ns.svc", Asked("svc", "ns", "s", "e")),
        ("_p._tcp.s.ns.svc", Asked("svc", "ns", "s", "", "p", "tcp")),
        ("a.b.c.s.ns.svc", None),
        ("ns.other", None),
        ("svc.svc.svc", Asked("svc", "svc", "svc")),
        ("pod", Asked("pod")),
        ("1-2-3-4.ns.pod", Asked("pod", "ns", "1-2-3-4")),
        ("x.1-2-3-4.ns.pod", Asked("pod", "ns", "1-2-3-4")),
        ("y.x.1-2-3-4.ns.pod", Asked("pod", "ns", "1-2-3-4")),
    ],
)
def test_parse(labels, expected):
    assert parse(labels.split(".") if labels else []) == expected


def test_services_without_slices_and_slices_without_services():
    store = filled(slice_("x", [{"addresses": ["10.0.0.1"]}], owner="unknown"))
    view = View(store=store)
    assert find(view, Asked("svc", "ns", "unknown")) is None
    assert reverse(view, A1) == []


def test_noendpoints():
    store = filled(service(clusterIP="None"), slice_("x", [{"addresses": ["10.0.0.1"]}]))
    assert find(View(store=store), Asked("svc", "ns", "s"))
    hidden = View(store=store, endpoints=False)
    assert find(hidden, Asked("svc", "ns", "s")) is None
    assert reverse(hidden, A1) == []


@pytest.mark.parametrize(
    ("label", "address"),
    [
        ("10-0-0-1", A1),
        ("10-0-0-256", None),
        ("10-0-0", None),
        ("2001-db8--1", bytes.fromhex("20010db8") + bytes(11) + b"\1"),
        ("--1", bytes(15) + b"\1"),
        ("a-b-c-d", None),
        ("", None),
    ],
)
def test_pod_address(label, address):
    assert pod_address(label) == address


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("1.0.0.10.in-addr.arpa", A1),
        ("01.0.0.10.in-addr.arpa", None),
        ("256.0.0.10.in-addr.arpa", None),
        ("0.0.10.in-addr.arpa", None),
        ("x.1.0.0.10.in-addr.arpa", None),
        ("1." + "0." * 31 + "ip6.arpa", bytes(15) + b"\1"),
        ("g." + "0." * 31 + "ip6.arpa", None),
        ("10." + "0." * 31 + "ip6.arpa", None),
    ],
)
def test_reverse_address(name, address):
    assert reverse_address(name.split(".")) == address
