"""acl: who may ask what; https://coredns.io/plugins/acl/."""

from __future__ import annotations

import dns.exception
import dns.rcode
import pytest

from scenarios.dns.questions import ask, corefile, counter, free_port, rcode, values


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


def test_the_first_rule_that_matches_decides_and_is_counted(start_resolver):
    port = free_port()
    resolver = start_resolver(
        corefile(
            f"prometheus 127.0.0.1:{port}",
            "acl {\n allow type AAAA net 127.0.0.1\n block type * net *\n}",
            'template IN ANY {\n answer "{{ .Name }} 60 IN TXT here"\n}',
        )
    )
    assert values(ask(resolver, "a.test.", "AAAA")) == ['"here"']
    assert rcode(ask(resolver, "a.test.", "TXT")) == "REFUSED"
    assert counter(port, "coredns_acl_blocked_requests_total{") == 1
