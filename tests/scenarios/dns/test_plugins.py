"""The plugins, from outside: each test starts a resolver with its own Corefile."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

HERE = Path(__file__).parent
KUBERNETES = "kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n ttl 30\n}"
WEB = "web.alpha.svc.cluster.local."


def corefile(*lines: str, zone: str = ".") -> str:
    return f"{zone}:53 {{\n" + "\n".join(lines) + "\n}\n"


def ask(resolver, name, kind="A", *, tcp=False, rdclass="IN", timeout=5.0, **edns):
    query = dns.message.make_query(name, kind, rdclass)
    if edns:
        query.use_edns(0, **edns)
    send = dns.query.tcp if tcp else dns.query.udp
    reply = send(query, resolver.address, port=resolver.port, timeout=timeout)
    assert reply.question == query.question
    return reply


def rows(reply, section="answer") -> list[str]:
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in getattr(reply, section)
        for rdata in rrset
    ]


def values(reply) -> list[str]:
    return [str(rdata) for rrset in reply.answer for rdata in rrset]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_for(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def fails_to_start(text: str, tmp_path: Path) -> str:
    path = tmp_path / "Corefile"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "netemu.dns", "--objects", str(HERE / "world.yaml"),
         "--corefile", str(path), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2, done
    return done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".:53 {\n errors\n nosuch\n}\n", "Corefile:3: nosuch: there is no such plugin"),
        (".:53 {\n errors\n", "Corefile:1: the { of this line is never closed"),
        (".:53 {\n kubernetes cluster.local {\n  pods sometimes\n }\n}\n", "Corefile:3: pods:"),
        (".:53 {\n cache\n cache\n}\n", "Corefile:3: cache: line 2 has it already"),
        (".:53 {\n errors\n}\n.:53 {\n errors\n}\n", "Corefile:4: cannot serve . on port 53"),
        (".:53 {\n forward . nowhere\n}\n", "Corefile:2: forward: 'nowhere' is neither"),
        (".:53 {\n rewrite name regex ( x\n}\n", "Corefile:2: rewrite:"),
        ("", "holds no server block"),
    ],
    ids=["plugin", "brace", "option", "twice", "zone twice", "upstream", "regex", "empty"],
)
def test_a_mistake_names_its_line(text, said, tmp_path):
    assert said in fails_to_start(text, tmp_path)


def test_the_order_in_the_file_means_nothing(start_resolver):
    backwards = corefile("loadbalance", "cache 30", "forward . {upstream}", KUBERNETES, "errors")
    resolver = start_resolver(backwards)
    assert values(ask(resolver, WEB)) == ["10.96.10.1"]
    assert values(ask(resolver, "www.example.test.")) == ["198.51.100.80"]


def test_the_longest_zone_of_all_blocks_answers(start_resolver):
    text = corefile(
        'template IN A {\n answer "{{ .Name }} 60 IN A 192.0.2.1"\n}', zone="example.org"
    ) + corefile('template IN A {\n answer "{{ .Name }} 60 IN A 192.0.2.2"\n}')
    resolver = start_resolver(text)
    assert values(ask(resolver, "a.example.org.")) == ["192.0.2.1"]
    assert values(ask(resolver, "a.notexample.org.")) == ["192.0.2.2"]


class TestHttp:
    def test_health_ready_and_metrics(self, start_resolver):
        ports = [free_port() for _ in range(3)]
        resolver = start_resolver(
            corefile(
                "errors",
                f"health 127.0.0.1:{ports[0]} {{\n lameduck 1s\n}}",
                f"ready 127.0.0.1:{ports[1]}",
                f"prometheus 127.0.0.1:{ports[2]}",
                KUBERNETES,
                "loadbalance",
            )
        )
        assert get(ports[0], "/health") == (200, "OK")
        assert get(ports[1], "/ready") == (200, "OK")
        assert get(ports[1], "/nowhere")[0] == 404
        for _ in range(5):
            ask(resolver, WEB)
        ask(resolver, WEB, "AAAA", tcp=True)
        ask(resolver, "absent.alpha.svc.cluster.local.", payload=1232)
        text = get(ports[2], "/metrics")[1]
        labels = 'server="dns://:53",zone=".",view=""'
        for line in (
            f'coredns_dns_requests_total{{{labels},proto="udp",family="1",type="A"}} 6',
            f'coredns_dns_requests_total{{{labels},proto="tcp",family="1",type="AAAA"}} 1',
            f'coredns_dns_responses_total{{{labels},rcode="NOERROR",plugin="kubernetes"}} 6',
            f'coredns_dns_responses_total{{{labels},rcode="NXDOMAIN",plugin="kubernetes"}} 1',
            f"coredns_dns_request_duration_seconds_count{{{labels}}} 7",
            f'coredns_dns_request_size_bytes_count{{{labels},proto="udp"}} 6',
            f'coredns_dns_response_size_bytes_count{{{labels},proto="udp"}} 6',
            'coredns_plugin_enabled{server="dns://:53",zone=".",view="",name="kubernetes"} 1',
            "coredns_panics_total 0",
        ):
            assert line in text.splitlines(), text
        started = time.monotonic()
        assert resolver.stop() == 0
        assert time.monotonic() - started >= 1
        assert "lameduck mode for 1s" in resolver.text()

    def test_a_port_that_is_taken_is_said(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            path = tmp_path / "Corefile"
            path.write_text(corefile(f"health 127.0.0.1:{port}"))
            done = subprocess.run(
                [sys.executable, "-m", "netemu.dns", "--objects", str(HERE / "world.yaml"),
                 "--corefile", str(path), "--listen", "127.0.0.1:0"],
                capture_output=True, text=True, timeout=20,
            )  # fmt: skip
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_reload_takes_a_good_file_and_refuses_a_bad_one(start_resolver):
    resolver = start_resolver(corefile("reload 2s 1s", KUBERNETES))
    assert rows(ask(resolver, WEB))[0].split()[1] == "30"
    resolver.corefile.write_text(corefile("reload 2s 1s", KUBERNETES.replace("30", "nonsense")))
    wait_for(lambda: "Restart failed" in resolver.text())
    assert re.search(r"Corefile:5: ttl: 'nonsense'", resolver.text())
    assert rows(ask(resolver, WEB))[0].split()[1] == "30"
    resolver.corefile.write_text(corefile("reload 2s 1s", KUBERNETES.replace("30", "11")))
    wait_for(lambda: "Reloading complete" in resolver.text())
    assert rows(ask(resolver, WEB))[0].split()[1] == "11"


class TestForward:
    def test_flags_and_ttl(self, resolver_of):
        reply = ask(resolver_of("kubeadm"), "flags.www.example.test.", "TXT")
        assert reply.flags & dns.flags.RA
        assert not reply.flags & dns.flags.AA

    def test_a_truncated_reply_comes_whole_over_tcp(self, resolver_of):
        reply = ask(resolver_of("kubeadm"), "big.example.test.")
        assert reply.flags & dns.flags.TC
        reply = ask(resolver_of("kubeadm"), "big.example.test.", tcp=True)
        assert len(values(reply)) == 119

    def test_refused_is_passed_on(self, resolver_of):
        assert ask(resolver_of("kubeadm"), "refused.test.").rcode() == dns.rcode.REFUSED

    def test_garbage_and_silence_end_in_servfail_in_time(self, start_resolver):
        resolver = start_resolver(corefile("errors", "forward . {upstream}"))
        started = time.monotonic()
        with ThreadPoolExecutor() as pool:
            names = ("garbage.test.", "silent.test.")
            replies = list(pool.map(lambda name: ask(resolver, name, timeout=8), names))
        assert [reply.rcode() for reply in replies] == [dns.rcode.SERVFAIL] * 2
        assert time.monotonic() - started < 6
        assert "[ERROR] plugin/errors: 2 silent.test. A: 127.0.0.1:" in resolver.text()

    def test_an_upstream_that_is_not_there_fails_at_once(self, start_resolver):
        resolver = start_resolver(corefile("errors", f"forward . 127.0.0.1:{free_port()}"))
        started = time.monotonic()
        assert ask(resolver, "www.example.test.").rcode() == dns.rcode.SERVFAIL
        assert time.monotonic() - started < 1

    def test_the_next_one_is_tried(self, start_resolver):
        dead = f"127.0.0.1:{free_port()}"
        forward = f"forward . {dead} {{upstream}} {{\n policy sequential\n}}"
        resolver = start_resolver(corefile(forward))
        for _ in range(4):
            assert values(ask(resolver, "www.example.test.")) == ["198.51.100.80"]

    def test_except(self, start_resolver):
        resolver = start_resolver(corefile("forward . {upstream} {\n except example.test\n}"))
        assert ask(resolver, "www.example.test.").rcode() == dns.rcode.REFUSED
        assert ask(resolver, "other.test.").rcode() == dns.rcode.NXDOMAIN

    def test_max_concurrent_refuses_the_rest(self, start_resolver):
        resolver = start_resolver(corefile("forward . {upstream} {\n max_concurrent 2\n}"))
        replies: list[int] = []

        def one(number: int) -> None:
            reply = ask(resolver, f"silent.n{number}.test.", timeout=10)
            replies.append(reply.rcode())

        threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert replies.count(dns.rcode.REFUSED) == 4
        assert replies.count(dns.rcode.SERVFAIL) == 2

    @pytest.mark.parametrize("option", ["force_tcp", "prefer_udp"])
    def test_tcp_to_the_upstream(self, start_resolver, option):
        resolver = start_resolver(corefile(f"forward . {{upstream}} {{\n {option}\n}}"))
        reply = ask(resolver, "big.example.test.", payload=4096)
        assert len(values(reply)) == 119

    def test_a_liar_is_not_believed(self, start_resolver):
        """Wrong id, wrong question, then the truth, all from the upstream's address."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
            liar.bind(("127.0.0.1", 0))

            def lie() -> None:
                data, client = liar.recvfrom(4096)
                query = dns.message.from_wire(data)
                truth = dns.message.make_response(query)
                rrset = dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1")
                truth.answer.append(rrset)
                other = dns.message.make_query("bank.test.", "A")
                other.id = query.id
                false = dns.message.make_response(other)
                false.answer.append(dns.rrset.from_text("bank.test.", 60, "IN", "A", "192.0.2.66"))
                wrong = bytearray(false.to_wire())
                wrong[0] ^= 0xFF
                liar.sendto(bytes(wrong), client)
                liar.sendto(false.to_wire(), client)
                liar.sendto(b"", client)
                liar.sendto(truth.to_wire(), client)

            thread = threading.Thread(target=lie)
            thread.start()
            resolver = start_resolver(corefile(f"forward . 127.0.0.1:{liar.getsockname()[1]}"))
            assert values(ask(resolver, "good.test.")) == ["192.0.2.1"]
            thread.join()


class TestCache:
    def test_the_upstream_is_asked_once_and_ttls_go_down(self, start_resolver, upstream):
        resolver = start_resolver(corefile("cache 30", "forward . {upstream}"))
        key = ("once.example.test.", "A")
        for _ in range(5):
            assert ask(resolver, key[0]).rcode() == dns.rcode.NXDOMAIN
        assert upstream.counts[key] == 1
        reply = ask(resolver, "www.example.test.")
        assert rows(reply)[0].split()[1] == "30"
        time.sleep(1.1)
        again = ask(resolver, "WWW.example.test.")
        assert rows(again)[0].split()[0] == "WWW.example.test."
        assert int(rows(again)[0].split()[1]) in (28, 29)
        assert again.flags & dns.flags.AA
        assert again.flags & dns.flags.RA

    def test_failures_are_kept_for_a_while(self, start_resolver, upstream):
        resolver = start_resolver(corefile("cache 30", "forward . {upstream}"))
        for _ in range(2):
            assert ask(resolver, "silent.kept.test.", timeout=8).rcode() == dns.rcode.SERVFAIL
        assert upstream.counts["silent.kept.test.", "A"] == 1

    def test_disable(self, start_resolver, upstream):
        text = corefile("cache 30 {\n disable denial example.test\n}", "forward . {upstream}")
        resolver = start_resolver(text)
        for _ in range(3):
            ask(resolver, "uncached.example.test.")
        assert upstream.counts["uncached.example.test.", "A"] == 3

    def test_serve_stale(self, start_resolver):
        def serve() -> None:
            data, client = sock.recvfrom(4096)
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            rrset = dns.rrset.from_text(query.question[0].name, 1, "IN", "A", "192.0.2.9")
            reply.answer.append(rrset)
            sock.sendto(reply.to_wire(), client)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            thread = threading.Thread(target=serve)
            thread.start()
            resolver = start_resolver(
                corefile(
                    "cache {\n success 100 1 1\n serve_stale 1h\n}",
                    f"forward . 127.0.0.1:{sock.getsockname()[1]}",
                )
            )
            assert rows(ask(resolver, "stale.test.")) == ["stale.test. 1 A 192.0.2.9"]
            thread.join()
            time.sleep(1.2)
            started = time.monotonic()
            assert rows(ask(resolver, "stale.test.")) == ["stale.test. 0 A 192.0.2.9"]
            assert time.monotonic() - started < 0.5


class TestRewrite:
    def resolver(self, start_resolver, *rules: str):
        return start_resolver(corefile(*rules, KUBERNETES, "forward . {upstream}"))

    def test_exact_turns_the_answer_back(self, start_resolver):
        resolver = self.resolver(start_resolver, f"rewrite name short.test {WEB}")
        assert rows(ask(resolver, "Short.test.")) == ["Short.test. 30 A 10.96.10.1"]

    def test_suffix_with_auto(self, start_resolver):
        rule = "rewrite name suffix .cluster.test. .svc.cluster.local. answer auto"
        resolver = self.resolver(start_resolver, rule)
        assert rows(ask(resolver, "web.alpha.cluster.test.")) == [
            "web.alpha.cluster.test. 30 A 10.96.10.1"
        ]

    def test_regex_with_answer_name(self, start_resolver):
        rule = (
            "rewrite stop {\n"
            r" name regex ^(\w+)-(\w+)\.in\.test\.$ {1}.{2}.svc.cluster.local" + "\n"
            r" answer name ^(\w+)\.(\w+)\.svc\.cluster\.local\.$ {1}-{2}.in.test" + "\n}"
        )
        resolver = self.resolver(start_resolver, rule)
        assert rows(ask(resolver, "web-alpha.in.test.")) == ["web-alpha.in.test. 30 A 10.96.10.1"]

    def test_without_auto_the_answer_shows_the_new_name(self, start_resolver):
        resolver = self.resolver(start_resolver, "rewrite name prefix old- web.")
        assert rows(ask(resolver, "old-alpha.svc.cluster.local.")) == [f"{WEB} 30 A 10.96.10.1"]

    def test_continue_and_stop(self, start_resolver):
        rules = (
            "rewrite continue name a.test b.test",
            f"rewrite name b.test {WEB}",
            "rewrite name exact a.test never.test",
        )
        resolver = self.resolver(start_resolver, *rules)
        assert rows(ask(resolver, "a.test.")) == ["a.test. 30 A 10.96.10.1"]

    def test_type_ttl_and_rcode(self, start_resolver):
        rules = (
            "rewrite continue ttl suffix svc.cluster.local. 5",
            "rewrite continue rcode suffix gone.test. NXDOMAIN NOERROR",
            "rewrite type ANY A",
        )
        resolver = self.resolver(start_resolver, *rules)
        assert rows(ask(resolver, WEB, "ANY")) == [f"{WEB} 5 A 10.96.10.1"]
        assert ask(resolver, "x.gone.test.").rcode() == dns.rcode.NOERROR

    def test_cname_target(self, start_resolver):
        rule = f"rewrite cname exact www.example.test. {WEB}"
        resolver = self.resolver(start_resolver, rule)
        assert rows(ask(resolver, "alias.example.test.")) == [
            f"alias.example.test. 60 CNAME {WEB}",
            f"{WEB} 30 A 10.96.10.1",
        ]


def test_template(start_resolver):
    template = (
        "template IN A ip.test {\n"
        r" match ^ip-(?P<a>\d+)-(?P<b>\d+)\.ip\.test\.$" + "\n"
        ' answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"\n'
        " fallthrough\n}\n"
        "template ANY ANY blocked.test {\n rcode NXDOMAIN\n"
        ' authority "blocked.test. 60 IN SOA ns.blocked.test. root.blocked.test. 1 2 3 4 5"\n}'
    )
    resolver = start_resolver(corefile("errors", template, "forward . {upstream}"))
    assert rows(ask(resolver, "ip-7-9.ip.test.")) == ["ip-7-9.ip.test. 60 A 10.0.7.9"]
    assert ask(resolver, "ip-7-999.ip.test.").rcode() == dns.rcode.SERVFAIL
    assert ask(resolver, "other.ip.test.").rcode() == dns.rcode.NXDOMAIN
    blocked = ask(resolver, "x.blocked.test.", "TXT")
    assert blocked.rcode() == dns.rcode.NXDOMAIN
    assert rows(blocked, "authority")[0].startswith("blocked.test. 60 SOA")


def test_hosts(start_resolver, tmp_path):
    (tmp_path / "hosts").write_text(
        "192.0.2.1 one.test alias.test # words\n192.0.2.2 one.test\n"
        "2001:db8::1 one.test\nbad line\n"
    )
    resolver = start_resolver(
        corefile(
            "errors",
            f"hosts {tmp_path / 'hosts'} {{\n 192.0.2.9 inline.test\n ttl 60\n reload 200ms\n"
            " fallthrough\n}",
            "forward . {upstream}",
        )
    )
    assert sorted(rows(ask(resolver, "One.test."))) == [
        "One.test. 60 A 192.0.2.1",
        "One.test. 60 A 192.0.2.2",
    ]
    assert rows(ask(resolver, "one.test.", "AAAA")) == ["one.test. 60 AAAA 2001:db8::1"]
    assert rows(ask(resolver, "alias.test.", "AAAA")) == []
    assert values(ask(resolver, "inline.test.")) == ["192.0.2.9"]
    assert values(ask(resolver, "1.2.0.192.in-addr.arpa.", "PTR")) == ["one.test.", "alias.test."]
    assert values(ask(resolver, "www.example.test.")) == ["198.51.100.80"]
    (tmp_path / "hosts").write_text("192.0.2.77 one.test\n")
    wait_for(lambda: values(ask(resolver, "one.test.")) == ["192.0.2.77"])


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
*.wild  IN A   192.0.2.99
a.deep  IN A   192.0.2.3
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.54
srv     IN SRV 0 5 80 web
"""


@pytest.fixture(scope="module")
def zone(start_resolver, tmp_path_factory):
    path = tmp_path_factory.mktemp("zone") / "db.zone.test"
    path.write_text(ZONE)
    return start_resolver(corefile("errors", f"file {path} zone.test", "forward . {upstream}"))


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


def test_acl(start_resolver):
    resolver = start_resolver(
        corefile(
            "acl blocked.test {\n block type A net 127.0.0.0/8\n allow\n}",
            "acl filtered.test {\n filter\n}",
            "acl dropped.test {\n drop type A\n}",
            "acl elsewhere.test {\n block net 192.0.2.0/24\n}",
            'template IN ANY {\n answer "{{ .Name }} 60 IN TXT here"\n}',
        )
    )
    assert ask(resolver, "blocked.test.", "A").rcode() == dns.rcode.REFUSED
    assert values(ask(resolver, "blocked.test.", "TXT")) == ['"here"']
    filtered = ask(resolver, "filtered.test.", "A")
    assert (filtered.rcode(), filtered.answer) == (dns.rcode.NOERROR, [])
    assert values(ask(resolver, "elsewhere.test.", "TXT")) == ['"here"']
    with pytest.raises(dns.exception.Timeout):
        ask(resolver, "dropped.test.", "A", timeout=0.3)
    assert values(ask(resolver, "dropped.test.", "TXT", tcp=True)) == ['"here"']


def test_header(start_resolver):
    text = corefile("header {\n response set ra\n response clear aa rd\n}", KUBERNETES)
    reply = ask(start_resolver(text), WEB)
    assert dns.flags.to_text(reply.flags) == "QR RA"


def test_any_and_chaos(start_resolver):
    resolver = start_resolver(corefile("any", "chaos Version-7 Ann Bob", KUBERNETES))
    assert values(ask(resolver, WEB, "ANY")) == ['"ANY obsoleted" "See RFC 8482"']
    assert values(ask(resolver, "version.bind.", "TXT", rdclass="CH")) == ['"Version-7"']
    assert values(ask(resolver, "authors.bind.", "TXT", rdclass="CH")) == ['"Ann"', '"Bob"']


def test_bufsize(start_resolver, tmp_path):
    import json

    endpoints = [{"addresses": [f"10.1.0.{n}"]} for n in range(1, 200)]
    labels = {"kubernetes.io/service-name": "many"}
    meta = {"namespace": "alpha", "name": "many"}
    objects = [
        {"kind": "Service", "metadata": meta, "spec": {"clusterIP": "None"}},
        {"kind": "EndpointSlice", "metadata": meta | {"labels": labels}, "endpoints": endpoints},
    ]
    (tmp_path / "o.json").write_text(json.dumps({"kind": "List", "items": objects}))
    resolver = start_resolver(
        corefile("bufsize 1232", "kubernetes cluster.local"), objects=[tmp_path / "o.json"]
    )
    query = dns.message.make_query("many.alpha.svc.cluster.local.", "A")
    query.use_edns(0, payload=4096)
    for _ in range(2):
        data = resolver.raw(query.to_wire())
        assert 1200 < len(data) <= 1232
        assert dns.message.from_wire(data).flags & dns.flags.TC


def test_log(start_resolver):
    resolver = start_resolver(corefile("log", KUBERNETES, "loadbalance"))
    for _ in range(2):
        ask(resolver, WEB, payload=1232)
    ask(resolver, "absent.alpha.svc.cluster.local.", tcp=True)
    line = (
        r"\[INFO\] 127\.0\.0\.1:\d+ - \d+"
        r' "A IN web\.alpha\.svc\.cluster\.local\. udp 56 false 1232"'
        r" NOERROR qr,aa,rd 99 0\.\d+s"
    )
    assert len(re.findall(line, resolver.text())) == 2, resolver.text()
    assert re.search(r'"A IN absent\..* tcp 48 false 512" NXDOMAIN qr,aa,rd', resolver.text())


def test_log_of_a_class(start_resolver):
    resolver = start_resolver(corefile('log . "{name} {rcode}" {\n class denial\n}', KUBERNETES))
    ask(resolver, WEB)
    ask(resolver, "absent.alpha.svc.cluster.local.")
    wait_for(lambda: "absent.alpha.svc.cluster.local. NXDOMAIN" in resolver.text())
    assert "web.alpha" not in resolver.text()


def test_autopath(start_resolver, tmp_path):
    (tmp_path / "resolv.conf").write_text(
        "search beta.svc.cluster.local svc.cluster.local cluster.local\n"
    )
    resolver = start_resolver(
        corefile(f"autopath {tmp_path / 'resolv.conf'}", KUBERNETES, "forward . {upstream}")
    )
    assert rows(ask(resolver, "web.alpha.beta.svc.cluster.local.")) == [
        f"web.alpha.beta.svc.cluster.local. 30 CNAME {WEB}",
        f"{WEB} 30 A 10.96.10.1",
    ]
    assert rows(ask(resolver, "www.example.test.beta.svc.cluster.local.")) == [
        "www.example.test.beta.svc.cluster.local. 60 CNAME www.example.test.",
        "www.example.test. 60 A 198.51.100.80",
    ]
    assert ask(resolver, "gone.test.beta.svc.cluster.local.").rcode() == dns.rcode.NXDOMAIN


def test_autopath_knows_the_client_pod(start_resolver, tmp_path):
    (tmp_path / "pod.yaml").write_text(
        "kind: Pod\nmetadata: {name: me, namespace: alpha}\n"
        "status: {phase: Running, podIP: 127.0.0.1}\n"
    )
    (tmp_path / "resolv.conf").write_text("search host.test\n")
    verified = KUBERNETES.replace("insecure", "verified")
    resolver = start_resolver(
        corefile("autopath @kubernetes", verified, "forward . {upstream}"),
        "--resolv-conf", str(tmp_path / "resolv.conf"),
        objects=[HERE / "world.yaml", tmp_path / "pod.yaml"],
    )  # fmt: skip
    assert values(ask(resolver, "web.alpha.alpha.svc.cluster.local."))[1:] == ["10.96.10.1"]
    assert values(ask(resolver, "www.example.test.alpha.svc.cluster.local."))[1:] == [
        "198.51.100.80"
    ]


def test_a_loop_stops_the_process(start_resolver):
    port = free_port()
    resolver = start_resolver(
        corefile("loop", f"forward . 127.0.0.1:{port}"), "--listen", f"127.0.0.1:{port}"
    )
    assert resolver.process.wait(10) == 1
    assert re.search(
        r'\[FATAL\] plugin/loop: Loop \(127\.0\.0\.1:\d+ -> :53\) detected for zone "\."',
        resolver.text(),
    )
    assert "https://coredns.io/plugins/loop#troubleshooting" in resolver.text()


def test_loadbalance_spreads_evenly(start_resolver):
    resolver = start_resolver(corefile(KUBERNETES, "loadbalance"))
    first: dict[str, int] = {}
    for _ in range(320):
        top = values(ask(resolver, "db.alpha.svc.cluster.local."))[0]
        first[top] = first.get(top, 0) + 1
    assert len(first) == 4
    assert all(65 <= count <= 95 for count in first.values()), first


def test_loadbalance_prefer(start_resolver):
    text = corefile(KUBERNETES, "loadbalance round_robin {\n prefer 10.244.2.6/32\n}")
    resolver = start_resolver(text)
    for _ in range(8):
        assert values(ask(resolver, "db.alpha.svc.cluster.local."))[0] == "10.244.2.6"


def test_loadbalance_weighted(start_resolver, tmp_path):
    (tmp_path / "weights").write_text("db.alpha.svc.cluster.local\n10.244.2.1 200\n10.244.2.2 1\n")
    text = corefile(KUBERNETES, f"loadbalance weighted {tmp_path / 'weights'}")
    resolver = start_resolver(text)
    tops = [values(ask(resolver, "db.alpha.svc.cluster.local."))[0] for _ in range(60)]
    assert tops.count("10.244.2.1") > 45


def test_objects_that_contradict_are_told_once_and_the_rest_is_served(start_resolver, tmp_path):
    (tmp_path / "o.yaml").write_text(
        "kind: Service\nmetadata: {name: good, namespace: a}\nspec: {clusterIP: 10.0.0.1}\n---\n"
        "kind: Service\nmetadata: {name: bad, namespace: a}\nspec: {clusterIP: 10.0.0.300}\n---\n"
        "kind: Service\nmetadata: {name: odd, namespace: a}\nspec: {ports: 7}\n---\n"
        "kind: EndpointSlice\nmetadata: {name: s, namespace: a, labels:"
        " {kubernetes.io/service-name: unknown}}\nendpoints: [{addresses: [x, 10.1.1.1]}]\n"
    )
    resolver = start_resolver(
        corefile("kubernetes cluster.local in-addr.arpa"), objects=[tmp_path / "o.yaml"]
    )
    assert values(ask(resolver, "good.a.svc.cluster.local.")) == ["10.0.0.1"]
    assert ask(resolver, "bad.a.svc.cluster.local.").rcode() == dns.rcode.NXDOMAIN
    assert ask(resolver, "1.1.1.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
    for said in ("'10.0.0.300' is not an IP address", "Service odd", "'x' is not an IP address"):
        assert resolver.text().count(said) == 1, resolver.text()


def test_what_has_no_wire_form_is_told_once_and_the_rest_is_served(start_resolver, tmp_path):
    """Labels and names that are too long, ports that are none: not SERVFAIL for the whole name."""
    (tmp_path / "o.yaml").write_text(
        f"kind: Service\nmetadata: {{name: {'a' * 300}, namespace: n}}\n"
        "spec: {clusterIP: 10.0.0.1}\n---\n"
        "kind: Service\nmetadata: {name: odd, namespace: n}\n"
        "spec: {clusterIP: 10.0.0.2, ports: [{name: x, port: 99999}, {name: y, port: 80}]}\n---\n"
        f"kind: Service\nmetadata: {{name: {'b' * 63}, namespace: {'c' * 63}}}\n"
        "spec: {clusterIP: None, ports: [{port: 80}]}\n---\n"
        "kind: EndpointSlice\nmetadata: {name: s, namespace: "
        f"{'c' * 63}, labels: {{kubernetes.io/service-name: {'b' * 63}}}}}\nports: [{{port: 80}}]\n"
        f"endpoints: [{{addresses: [10.1.1.1], hostname: {'d' * 63}}},"
        " {addresses: [10.1.1.2], hostname: short}]\n"
    )
    zone = f"{'z' * 60}.test."
    resolver = start_resolver(
        corefile(f"kubernetes {zone} in-addr.arpa"), objects=[tmp_path / "o.yaml"]
    )
    for _ in range(3):
        long = ask(resolver, "1.0.0.10.in-addr.arpa.", "PTR")
        assert long.rcode() == dns.rcode.NXDOMAIN
        assert values(ask(resolver, f"odd.n.svc.{zone}", "SRV")) == [f"0 100 80 odd.n.svc.{zone}"]
        assert values(ask(resolver, "2.0.0.10.in-addr.arpa.", "PTR")) == [f"odd.n.svc.{zone}"]
        below = f"{'b' * 63}.{'c' * 63}.svc.{zone}"
        assert values(ask(resolver, below, "SRV")) == [f"0 50 80 short.{below}"]
        assert ask(resolver, "1.1.1.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
        assert values(ask(resolver, "2.1.1.10.in-addr.arpa.", "PTR")) == [f"short.{below}"]
    log = resolver.text()
    for said in ("has 300", "99999 is not a port", "at most 255 octets"):
        assert log.count(said) == 1, log
    assert "Traceback" not in log
