"""header: https://coredns.io/plugins/header/."""

from __future__ import annotations

import dns.flags

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile


def test_header(start_resolver):
    text = corefile("header {\n response set ra\n response clear aa rd\n}", KUBERNETES)
    reply = ask(start_resolver(text), WEB)
    assert dns.flags.to_text(reply.flags) == "QR RA"


def test_without_a_side_it_is_the_response(start_resolver):
    reply = ask(start_resolver(corefile("header {\n clear aa\n set ra\n}", KUBERNETES)), WEB)
    assert dns.flags.to_text(reply.flags) == "QR RD RA"


def test_flags_of_the_query_go_upstream(start_resolver, two):
    (upstream, _), words = two
    text = corefile("header {\n query clear rd\n}", f"forward . {words}")
    resolver = start_resolver(text.replace(words, words.split()[0]))
    ask(resolver, "www.example.test.")
    assert not upstream.queries[-1].flags & dns.flags.RD
