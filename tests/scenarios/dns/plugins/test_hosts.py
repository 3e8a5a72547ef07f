"""hosts: https://coredns.io/plugins/hosts/."""

from __future__ import annotations

import pytest

from scenarios.dns.questions import ask, corefile, rcode, rows, values, wait_for


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


@pytest.fixture
def file(tmp_path):
    (tmp_path / "hosts").write_text("192.0.2.1 one.a.test\n192.0.2.2 two.b.test\n")
    return tmp_path / "hosts"


def test_what_it_does_not_know_is_servfail(start_resolver, file):
    """There is no SOA to say NXDOMAIN with."""
    resolver = start_resolver(corefile(f"hosts {file}", "forward . {upstream}"))
    assert rcode(ask(resolver, "absent.test.")) == "SERVFAIL"
    assert rows(ask(resolver, "one.a.test."))[0] == "one.a.test. 3600 A 192.0.2.1"


def test_zones(start_resolver, file):
    resolver = start_resolver(corefile(f"hosts {file} a.test", "forward . {upstream}"))
    assert values(ask(resolver, "one.a.test.")) == ["192.0.2.1"]
    assert rcode(ask(resolver, "two.b.test.")) == "NXDOMAIN"


def test_fallthrough_of_some_zones(start_resolver, file):
    text = corefile(f"hosts {file} {{\n fallthrough b.test\n}}", "forward . {upstream}")
    resolver = start_resolver(text)
    assert rcode(ask(resolver, "absent.b.test.")) == "NXDOMAIN"
    assert rcode(ask(resolver, "absent.a.test.")) == "SERVFAIL"


def test_no_reverse(start_resolver, file):
    text = corefile(f"hosts {file} {{\n no_reverse\n}}", "forward . {upstream}")
    resolver = start_resolver(text)
    assert rcode(ask(resolver, "1.2.0.192.in-addr.arpa.", "PTR")) == "NXDOMAIN"
    assert values(ask(resolver, "one.a.test.")) == ["192.0.2.1"]


def test_reload_0_reads_once(start_resolver, file):
    still, changing = (
        start_resolver(corefile(f"hosts {file} {{\n reload {time}\n}}")) for time in ("0", "50ms")
    )
    file.write_text("192.0.2.7 one.a.test\n")
    wait_for(lambda: values(ask(changing, "one.a.test.")) == ["192.0.2.7"])
    assert values(ask(still, "one.a.test.")) == ["192.0.2.1"]
