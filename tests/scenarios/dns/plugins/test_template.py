"""template: https://coredns.io/plugins/template/."""

from __future__ import annotations

import dns.edns
import dns.rcode
import pytest

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, rcode, rows, values


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


ANSWER = 'answer "{{ .Name }} 60 IN TXT here"'


def test_class_and_type_each_decide(start_resolver):
    resolver = start_resolver(
        corefile(
            f"template ANY TXT a.test {{\n {ANSWER}\n}}",
            f"template CH ANY b.test {{\n {ANSWER}\n}}",
            "chaos",
        )
    )
    assert values(ask(resolver, "x.a.test.", "TXT")) == ['"here"']
    assert rcode(ask(resolver, "x.a.test.", "A")) == "REFUSED"
    assert rcode(ask(resolver, "x.b.test.", "TXT")) == "REFUSED"
    assert values(ask(resolver, "x.b.test.", "TXT", rdclass="CH")) == ['"here"']


def test_zones(start_resolver):
    resolver = start_resolver(corefile(f"template IN ANY a.test b.test {{\n {ANSWER}\n}}"))
    assert values(ask(resolver, "x.b.test.", "TXT")) == ['"here"']
    assert rcode(ask(resolver, "x.c.test.", "TXT")) == "REFUSED"


def test_what_does_not_match_does_not_exist(start_resolver):
    text = corefile(f"template IN ANY a.test {{\n match ^one\\. ^two\\.\n {ANSWER}\n}}")
    resolver = start_resolver(text)
    assert values(ask(resolver, "two.a.test.", "TXT")) == ['"here"']
    assert rcode(ask(resolver, "three.a.test.", "TXT")) == "NXDOMAIN"


def test_fallthrough_of_some_zones(start_resolver):
    text = corefile(
        f"template IN ANY {{\n match ^one\\.\n {ANSWER}\n fallthrough a.test\n}}",
        'template IN ANY {\n answer "{{ .Name }} 60 IN TXT second"\n}',
    )
    resolver = start_resolver(text)
    assert values(ask(resolver, "two.a.test.", "TXT")) == ['"second"']
    assert rcode(ask(resolver, "two.b.test.", "TXT")) == "NXDOMAIN"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("{{ .Name }}", "x10.a.test."),
        ("{{ .Question.Name }}", "X10.a.test."),
        ("{{ .Type }}/{{ .Class }}", "TXT/IN"),
        ("{{ .Zone }}", "a.test."),
        ("{{ .Remote }}", "127.0.0.1"),
        ("{{ index .Match 1 }}", "10"),
        ("{{ .Group.hex }}", "10"),
        ("{{ parseInt .Group.hex 16 10 }}", "16"),
    ],
)
def test_fields(start_resolver, field, said):
    lines = f'match x(?P<hex>..)\n answer "{{{{ .Name }}}} 60 IN TXT {field}"'
    resolver = start_resolver(corefile(f"template IN TXT a.test {{\n {lines}\n}}"))
    assert values(ask(resolver, "X10.a.test.", "TXT")) == [f'"{said}"']


def test_the_other_sections(start_resolver):
    lines = (
        'answer "{{ .Name }} 60 IN MX 10 mail.a.test."',
        'additional "mail.a.test. 60 IN A 192.0.2.25"',
        'authority "a.test. 60 IN NS ns.a.test."',
    )
    resolver = start_resolver(corefile("template IN MX a.test {\n" + "\n".join(lines) + "\n}"))
    reply = ask(resolver, "a.test.", "MX")
    assert rows(reply) == ["a.test. 60 MX 10 mail.a.test."]
    assert rows(reply, "additional") == ["mail.a.test. 60 A 192.0.2.25"]
    assert rows(reply, "authority") == ["a.test. 60 NS ns.a.test."]


def test_upstream_follows_a_cname(start_resolver):
    lines = f'answer "{{{{ .Name }}}} 60 IN CNAME {WEB}"\n'
    text = corefile(
        f"template IN A a.test {{\n {lines} upstream\n}}",
        f"template IN A b.test {{\n {lines}\n}}",
        KUBERNETES,
    )
    resolver = start_resolver(text)
    assert values(ask(resolver, "x.a.test.")) == [WEB, "10.96.10.1"]
    assert values(ask(resolver, "x.b.test.")) == [WEB]


def test_an_extended_error_goes_to_clients_with_edns(start_resolver):
    text = corefile('template ANY ANY a.test {\n rcode NXDOMAIN\n ederror 15 "not here"\n}')
    resolver = start_resolver(text)
    reply = ask(resolver, "x.a.test.", payload=1232)
    assert reply.options == (dns.edns.EDEOption(15, "not here"),)
    assert ask(resolver, "x.a.test.").edns == -1


def test_rcode_servfail(start_resolver):
    resolver = start_resolver(corefile("template ANY ANY a.test {\n rcode SERVFAIL\n}"))
    assert rcode(ask(resolver, "x.a.test.")) == "SERVFAIL"
