"""any: https://coredns.io/plugins/any/."""

from __future__ import annotations

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, rows


def test_any_is_answered_with_as_little_as_possible(start_resolver):
    resolver = start_resolver(corefile("any", KUBERNETES))
    assert rows(ask(resolver, WEB, "ANY")) == [f'{WEB} 8482 HINFO "ANY obsoleted" "See RFC 8482"']


def test_without_it_any_is_a_type_like_others(start_resolver):
    assert rows(ask(start_resolver(corefile(KUBERNETES)), WEB, "ANY")) == []
