"""transfer: whole zones over TCP, read by dnspython; https://coredns.io/plugins/transfer/."""

from __future__ import annotations

import json

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.versioned
import dns.xfr
import dns.zone
import pytest

from scenarios.dns.questions import KUBERNETES, ask, corefile, rcode, rows


def transferred(resolver, zone: str) -> set[str]:
    """The zone's records as dnspython takes them from a transfer."""
    made = dns.zone.Zone(zone, relativize=False)
    where = resolver.address
    dns.query.inbound_xfr(where, made, port=resolver.port, timeout=60, lifetime=60)
    return {
        f"{name} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {rdata}"
        for name, ttl, rdata in made.iterate_rdatas()
    }


@pytest.fixture(scope="module")
def cluster(keep_resolver):
    return keep_resolver(corefile("transfer {\n to *\n}", "loadbalance", "cache", KUBERNETES))


def test_the_clusters_zone(cluster):
    found = transferred(cluster, "cluster.local.")
    for expected in (
        "cluster.local. 30 NS ns.dns.cluster.local.",
        "ns.dns.cluster.local. 30 A 192.0.2.53",
        "web.alpha.svc.cluster.local. 30 A 10.96.10.1",
        "web.alpha.svc.cluster.local. 30 SRV 0 100 80 web.alpha.svc.cluster.local.",
        "_http._tcp.web.alpha.svc.cluster.local. 30 SRV 0 100 80 web.alpha.svc.cluster.local.",
        "db.alpha.svc.cluster.local. 30 A 10.244.2.1",
        "db-0.db.alpha.svc.cluster.local. 30 A 10.244.2.1",
        "_sql._tcp.db.alpha.svc.cluster.local. 30 SRV 0 33 5432 db-1.db.alpha.svc.cluster.local.",
        "outside.alpha.svc.cluster.local. 30 CNAME www.example.test.",
    ):
        assert expected in found, sorted(found)
    assert not any("10.244.2.4" in record for record in found), "it is not ready"
    assert sum(" SOA " in record for record in found) == 1


def test_what_is_transferred_is_what_is_answered(cluster):
    for record in transferred(cluster, "cluster.local."):
        name, _, kind, rdata = record.split(" ", 3)
        if kind in ("A", "AAAA"):
            assert f"{name} 30 {kind} {rdata}" in rows(ask(cluster, name, kind))


def test_a_large_zone_takes_several_messages(start_resolver, tmp_path):
    items = [
        {
            "kind": "Service",
            "metadata": {"name": f"s{n}", "namespace": "big"},
            "spec": {"clusterIP": f"10.96.{n // 250}.{n % 250}", "ports": [{"port": 80}]},
        }
        for n in range(2000)
    ]
    (tmp_path / "o.json").write_text(json.dumps({"kind": "List", "items": items}))
    resolver = start_resolver(
        corefile("transfer {\n to 127.0.0.1\n}", "kubernetes cluster.local"),
        objects=[tmp_path / "o.json"],
    )
    found = transferred(resolver, "cluster.local.")
    assert sum(" A 10.96." in record for record in found) == 2000


def test_a_file(start_resolver, tmp_path):
    lines = ("@ 60 IN SOA ns root 7 2 3 4 5", "@ 60 IN NS ns", "ns 60 IN A 192.0.2.1", "")
    (tmp_path / "db").write_text("\n".join(lines))
    resolver = start_resolver(
        corefile("transfer a.test {\n to 192.0.2.9 127.0.0.1\n}", f"file {tmp_path / 'db'} a.test")
    )
    assert transferred(resolver, "a.test.") == {
        "a.test. 60 SOA ns.a.test. root.a.test. 7 2 3 4 5",
        "a.test. 60 NS ns.a.test.",
        "ns.a.test. 60 A 192.0.2.1",
    }
    for serial, several in ((7, False), (6, True)):
        query, _ = dns.xfr.make_query(dns.versioned.Zone("a.test."), serial=serial)
        reply = dns.query.tcp(query, resolver.address, port=resolver.port, timeout=60)
        assert (len(rows(reply)) > 1) == several


@pytest.mark.parametrize(
    ("lines", "zone", "tcp"),
    [
        ("transfer {\n to *\n}", "cluster.local.", False),
        ("transfer {\n to 192.0.2.1\n}", "cluster.local.", True),
        ("transfer a.test {\n to *\n}", "cluster.local.", True),
        ("transfer {\n to *\n}", "alpha.svc.cluster.local.", True),
        ("transfer {\n to *\n}", "10.in-addr.arpa.", True),
        ("", "cluster.local.", True),
    ],
    ids=["udp", "not to us", "another zone", "below a zone", "reverse", "without it"],
)
def test_refused(start_resolver, lines, zone, tcp):
    resolver = start_resolver(corefile(lines, KUBERNETES))
    assert rcode(ask(resolver, zone, "AXFR", tcp=tcp)) == "REFUSED"
