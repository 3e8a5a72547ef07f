"""file: https://coredns.io/plugins/file/."""

from __future__ import annotations

import dns.flags
import dns.rcode
import pytest

from scenarios.dns.questions import ask, corefile, rcode, rows, values, wait_for

ZONE = """\
$TTL 300
@       IN SOA ns.zone.test. root.zone.test. 7 7200 900 86400 120
        IN NS  ns
        IN MX  10 mail
ns      IN A   192.0.2.53
mail    IN A   192.0.2.25
www     IN CNAME web
web     IN A   192.0.2.80
        IN TXT "hello" "world"
loop    IN CNAME loop
out     IN CNAME www.example.test.
gone    IN CNAME nowhere.example.test.
*.wild  IN A   192.0.2.99
a.deep  IN A   192.0.2.3
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.54
srv     IN SRV 0 5 80 web
"""


@pytest.fixture(scope="module")
def zone(keep_resolver, tmp_path_factory):
    path = tmp_path_factory.mktemp("zone") / "db.zone.test"
    path.write_text(ZONE)
    return keep_resolver(corefile("errors", f"file {path} zone.test", "forward . {upstream}"))


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "answer"),
    [
        ("web", "A", "NOERROR", ["web 300 A 192.0.2.80"]),
        ("WEB", "A", "NOERROR", ["WEB 300 A 192.0.2.80"]),
        ("web", "TXT", "NOERROR", ['web 300 TXT "hello" "world"']),
        ("web", "AAAA", "NOERROR", []),
        ("nope", "A", "NXDOMAIN", []),
        ("deep", "A", "NOERROR", []),
        ("www", "A", "NOERROR", ["www 300 CNAME web", "web 300 A 192.0.2.80"]),
        ("www", "CNAME", "NOERROR", ["www 300 CNAME web"]),
        ("x.wild", "A", "NOERROR", ["x.wild 300 A 192.0.2.99"]),
        ("x.y.wild", "A", "NOERROR", ["x.y.wild 300 A 192.0.2.99"]),
        ("x.wild", "AAAA", "NOERROR", []),
        ("wild", "A", "NOERROR", []),
        ("x.web", "A", "NXDOMAIN", []),
        ("srv", "SRV", "NOERROR", ["srv 300 SRV 0 5 80 web."]),
    ],
)
def test_file(zone, name, kind, rcode, answer):
    reply = ask(zone, f"{name}.zone.test.", kind)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert [row.replace(".zone.test.", "") for row in rows(reply)] == answer
    assert reply.flags & dns.flags.AA
    if not answer:
        assert "SOA" in rows(reply, "authority")[0]


def test_file_refers_to_a_delegation(zone):
    reply = ask(zone, "x.sub.zone.test.")
    assert not reply.flags & dns.flags.AA
    assert rows(reply, "authority") == ["sub.zone.test. 300 NS ns.sub.zone.test."]
    assert rows(reply, "additional") == ["ns.sub.zone.test. 300 A 192.0.2.54"]


def test_file_survives_a_ring_of_cnames(zone):
    assert ask(zone, "loop.zone.test.").rcode() == dns.rcode.NOERROR


def test_positive_answers_name_the_zones_servers(zone):
    assert rows(ask(zone, "web.zone.test."), "authority") == ["zone.test. 300 NS ns.zone.test."]
    reply = ask(zone, "zone.test.", "NS")
    assert (rows(reply), rows(reply, "authority")) == (["zone.test. 300 NS ns.zone.test."], [])


def test_a_cname_out_of_the_zone_is_followed(zone):
    reply = ask(zone, "out.zone.test.")
    assert rows(reply) == [
        "out.zone.test. 300 CNAME www.example.test.",
        "www.example.test. 60 A 198.51.100.80",
    ]
    reply = ask(zone, "gone.zone.test.")
    assert rcode(reply) == "NXDOMAIN"
    assert rows(reply) == ["gone.zone.test. 300 CNAME nowhere.example.test."]


def test_several_zones_of_one_file_and_fallthrough(start_resolver, tmp_path):
    (tmp_path / "db").write_text("@ 60 IN SOA ns root 1 2 3 4 5\nwww 60 IN A 192.0.2.1\n")
    text = corefile(f"file {tmp_path / 'db'} a.test b.test {{\n fallthrough b.test\n}}")
    resolver = start_resolver(text.replace("}\n}", "}\nforward . {upstream}\n}"))
    for zone in ("a.test.", "b.test."):
        assert values(ask(resolver, f"www.{zone}")) == ["192.0.2.1"]
    assert rows(ask(resolver, "absent.a.test."), "authority")[0].startswith("a.test. 60 SOA")
    assert rows(ask(resolver, "absent.b.test."), "authority")[0].startswith("example.test. 60 SOA")


def test_it_is_read_again_and_mistakes_change_nothing(start_resolver, tmp_path):
    file = tmp_path / "db"
    good = "@ 60 IN SOA ns root 1 2 3 4 5\nwww 60 IN A 192.0.2.1\n"
    file.write_text(good)
    resolver = start_resolver(corefile(f"file {file} a.test {{\n reload 50ms\n}}"))
    file.write_text("www 60 IN A 192.0.2.7\n")
    wait_for(lambda: "the zone is served as it was" in resolver.text())
    assert values(ask(resolver, "www.a.test.")) == ["192.0.2.1"]
    file.write_text(good.replace("192.0.2.1", "192.0.2.7"))
    wait_for(lambda: values(ask(resolver, "www.a.test.")) == ["192.0.2.7"])
