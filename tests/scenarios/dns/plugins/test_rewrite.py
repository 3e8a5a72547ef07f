"""rewrite: https://coredns.io/plugins/rewrite/."""

from __future__ import annotations

import dns.edns
import dns.rcode
import pytest

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, rcode, rows, values


def resolver(start_resolver, *rules: str):
    return start_resolver(corefile(*rules, KUBERNETES, "forward . {upstream}"))


def test_exact_turns_the_answer_back(start_resolver):
    asked = resolver(start_resolver, f"rewrite name short.test {WEB}")
    assert rows(ask(asked, "Short.test.")) == ["Short.test. 30 A 10.96.10.1"]


def test_suffix_with_auto(start_resolver):
    rule = "rewrite name suffix .cluster.test. .svc.cluster.local. answer auto"
    asked = resolver(start_resolver, rule)
    assert rows(ask(asked, "web.alpha.cluster.test.")) == [
        "web.alpha.cluster.test. 30 A 10.96.10.1"
    ]


def test_regex_with_answer_name(start_resolver):
    rule = (
        "rewrite stop {\n"
        r" name regex ^(\w+)-(\w+)\.in\.test\.$ {1}.{2}.svc.cluster.local" + "\n"
        r" answer name ^(\w+)\.(\w+)\.svc\.cluster\.local\.$ {1}-{2}.in.test" + "\n}"
    )
    asked = resolver(start_resolver, rule)
    assert rows(ask(asked, "web-alpha.in.test.")) == ["web-alpha.in.test. 30 A 10.96.10.1"]


def test_without_auto_the_answer_shows_the_new_name(start_resolver):
    asked = resolver(start_resolver, "rewrite name prefix old- web.")
    assert rows(ask(asked, "old-alpha.svc.cluster.local.")) == [f"{WEB} 30 A 10.96.10.1"]


def test_continue_and_stop(start_resolver):
    rules = (
        "rewrite continue name a.test b.test",
        f"rewrite name b.test {WEB}",
        "rewrite name exact a.test never.test",
    )
    asked = resolver(start_resolver, *rules)
    assert rows(ask(asked, "a.test.")) == ["a.test. 30 A 10.96.10.1"]


def test_type_ttl_and_rcode(start_resolver):
    rules = (
        "rewrite continue ttl suffix svc.cluster.local. 5",
        "rewrite continue rcode suffix gone.test. NXDOMAIN NOERROR",
        "rewrite type ANY A",
    )
    asked = resolver(start_resolver, *rules)
    assert rows(ask(asked, WEB, "ANY")) == [f"{WEB} 5 A 10.96.10.1"]
    assert ask(asked, "x.gone.test.").rcode() == dns.rcode.NOERROR


def test_cname_target(start_resolver):
    rule = f"rewrite cname exact www.example.test. {WEB}"
    asked = resolver(start_resolver, rule)
    assert rows(ask(asked, "alias.example.test.")) == [
        f"alias.example.test. 60 CNAME {WEB}",
        f"{WEB} 30 A 10.96.10.1",
    ]


def test_substring(start_resolver):
    asked = resolver(start_resolver, "rewrite name substring old web answer auto")
    assert rows(ask(asked, "old.alpha.svc.cluster.local.")) == [
        "old.alpha.svc.cluster.local. 30 A 10.96.10.1"
    ]


def test_answer_value_changes_names_inside_of_records(start_resolver):
    rule = (
        r"rewrite stop name suffix .in.test .svc.cluster.local answer auto"
        r" answer value (.*)\.svc\.cluster\.local {1}.in.test"
    )
    asked = resolver(start_resolver, rule)
    assert rows(ask(asked, "_http._tcp.web.alpha.in.test.", "SRV")) == [
        "_http._tcp.web.alpha.in.test. 30 SRV 0 100 80 web.alpha.in.test."
    ]


def test_class(start_resolver):
    asked = start_resolver(corefile("rewrite class CH IN", KUBERNETES, "chaos"))
    assert values(ask(asked, WEB, rdclass="CH")) == ["10.96.10.1"]


@pytest.mark.parametrize(
    ("how", "ttl"),
    [
        (f"{WEB} 5", 5),
        (f"exact {WEB} 5", 5),
        ("prefix web. 5", 5),
        ("suffix .local. 5", 5),
        ("substring alpha 5", 5),
        (r"regex ^web\..*local\.$ 5", 5),
        ("suffix other. 5", 30),
        ("suffix .local. 40-90", 40),
        ("suffix .local. -20", 20),
        ("suffix .local. 60-", 60),
    ],
)
def test_ttl(start_resolver, how, ttl):
    asked = resolver(start_resolver, f"rewrite ttl {how}")
    assert rows(ask(asked, WEB)) == [f"{WEB} {ttl} A 10.96.10.1"]


def test_rcode_of_another_kind_stays(start_resolver):
    asked = resolver(start_resolver, "rewrite rcode suffix test. SERVFAIL NOERROR")
    assert rcode(ask(asked, "servfail.test.")) == "NOERROR"
    assert rcode(ask(asked, "absent.test.")) == "NXDOMAIN"


def test_a_block_of_name_and_answer(start_resolver):
    rule = "rewrite continue {\n name suffix .in.test .svc.cluster.local\n answer auto\n}"
    asked = resolver(start_resolver, rule)
    assert rows(ask(asked, "web.alpha.in.test.")) == ["web.alpha.in.test. 30 A 10.96.10.1"]


class TestEdns:
    """What the upstream gets to see."""

    @pytest.fixture
    def own(self, make_upstream):
        return make_upstream()

    def options(self, start_resolver, upstream, rule, *sent) -> dict[int, bytes]:
        forward = f"forward . 127.0.0.1:{upstream.port}"
        asked = start_resolver(corefile(f"rewrite edns0 {rule}", forward))
        edns = {"options": list(sent), "payload": 1232} if sent else {}
        reply = ask(asked, "www.example.test.", **edns)
        assert reply.options == (), "options of the query are not echoed"
        return {option.otype: option.to_wire() for option in upstream.queries[-1].options}

    LOCAL = dns.edns.GenericOption(0xFFEE, b"theirs")

    @pytest.mark.parametrize(
        ("rule", "sent", "seen"),
        [
            ("local set 0xffee 0x61626364", [], {0xFFEE: b"abcd"}),
            ("local set 0xffee abcd", [LOCAL], {0xFFEE: b"abcd"}),
            ("local append 0xffee abcd", [], {0xFFEE: b"abcd"}),
            ("local append 0xffee abcd", [LOCAL], {0xFFEE: b"theirs"}),
            ("local replace 0xffee abcd", [], {}),
            ("local replace 0xffee abcd", [LOCAL], {0xFFEE: b"abcd"}),
            ("local unset 0xffee", [LOCAL], {}),
            ("local unset 0xffef", [LOCAL], {0xFFEE: b"theirs"}),
            ("local set 0xffee {qname}", [], {0xFFEE: b"www.example.test."}),
            ("local set 0xffee {qtype}", [], {0xFFEE: b"\0\1"}),
            ("local set 0xffee {client_ip}", [], {0xFFEE: b"\x7f\0\0\1"}),
            ("local set 0xffee {server_ip}", [], {0xFFEE: b"\x7f\0\0\1"}),
            ("local set 0xffee {protocol}", [], {0xFFEE: b"udp"}),
            ("nsid set", [], {3: b""}),
            ("subnet set 24 56", [], {8: b"\0\1\x18\0\x7f\0\0"}),
            ("subnet set 24 56 revert", [], {8: b"\0\1\x18\0\x7f\0\0"}),
        ],
    )
    def test_what_the_upstream_sees(self, start_resolver, own, rule, sent, seen):
        assert self.options(start_resolver, own, rule, *sent) == seen
