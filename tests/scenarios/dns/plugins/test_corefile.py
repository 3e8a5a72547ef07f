"""Mistakes in a Corefile, the order of its lines, and which server block answers."""

from __future__ import annotations

import pytest

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, fails_to_start, values


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
