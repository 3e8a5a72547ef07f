from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.dns import corefile, wire
from netemu.dns.corefile import Key
from netemu.errors import ConfigError


def parse(text: str, **environment: str):
    return corefile.parse(text, environment=environment)


def key(zone: str, port: int = 53) -> Key:
    return Key(wire.from_text(zone), port)


def test_kubeadms():
    (block,) = parse(corefile.KUBEADM)
    assert block.keys == (key("."),)
    assert [line.name for line in block.directives] == [
        "errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop",
        "reload", "loadbalance",
    ]  # fmt: skip
    kubernetes = block.directive("kubernetes")
    assert kubernetes.args == ("cluster.local", "in-addr.arpa", "ip6.arpa")
    assert [line.words for line in kubernetes.body] == [
        ("pods", "insecure"),
        ("fallthrough", "in-addr.arpa", "ip6.arpa"),
        ("ttl", "30"),
    ]
    assert kubernetes.number == 7


@pytest.mark.parametrize(
    ("head", "keys"),
    [
        (".:53", [key(".")]),
        ("example.org", [key("example.org")]),
        ("Example.ORG:1053", [key("example.org", 1053)]),
        ("dns://.:5353", [key(".", 5353)]),
        ("a.org, b.org", [key("a.org"), key("b.org")]),
        ("a.org b.org", [key("a.org"), key("b.org")]),
        ("a.org,\nb.org", [key("a.org"), key("b.org")]),
        (":99", [key(".", 99)]),
        ("10.0.0.0/8", [key("10.in-addr.arpa")]),
        ("10.96.0.0/15", [key("96.10.in-addr.arpa"), key("97.10.in-addr.arpa")]),
        ("fd00::/8:54", [key("d.f.ip6.arpa", 54)]),
    ],
)
def test_keys(head, keys):
    (block,) = parse(f"{head} {{\n errors\n}}")
    assert list(block.keys) == keys


def test_a_file_without_braces_is_one_block():
    (block,) = parse("example.org\nerrors\nlog {\n class error\n}\n")
    assert [line.name for line in block.directives] == ["errors", "log"]


def test_quotes_comments_and_environment():
    (block,) = parse(
        '. { # a comment\n  template IN A "two words" a"b {\n'
        '    answer "{{ .Name }} \\"x\\" {"\n  }\n  log "#" {$NAME} {%NAME%} #{$NAME}\n}',
        NAME="value",
    )
    template, log = block.directives
    assert template.args == ("IN", "A", "two words", 'a"b')
    assert template.body[0].args == ('{{ .Name }} "x" {',)
    assert log.args == ("#", "value", "value")


def test_snippets():
    (block,) = parse("(both) {\n errors\n log\n}\n. {\n import both\n any\n}")
    assert [line.name for line in block.directives] == ["errors", "log", "any"]


def test_imported_files():
    files = {
        "custom/*.override": [("custom/a.override", "log\nerrors {\n stacktrace\n}\n")],
        "custom/*.server": [("custom/b.server", "b.test:53 {\n any\n}\nc.test {\n any\n}")],
        "loop": [("loop", "import loop\n")],
    }

    def parse(text):
        return corefile.parse(text, files=lambda pattern: files.get(pattern, []))

    blocks = parse(
        ". {\n any\n import custom/*.override\n cache\n}\nimport custom/*.server\nimport none/*\n"
    )
    assert [line.name for line in blocks[0].directives] == ["any", "log", "errors", "cache"]
    assert blocks[0].directives[2].source == "custom/a.override"
    assert [block.keys for block in blocks[1:]] == [(key("b.test"),), (key("c.test"),)]
    assert blocks[2].place.number == 4
    for text in ("import loop", ". {\n import loop\n}"):
        with pytest.raises(ConfigError, match="import each other"):
            parse(text)
    with pytest.raises(ConfigError, match="Corefile:2: import: there is no snippet"):
        parse(". {\n import nothing\n}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (". {\n errors\n", "Corefile:1: the { of this line is never closed"),
        (". {\n log {\n class all\n}\n", "Corefile:1: the { of this line"),
        ("}\n", "Corefile:1: unexpected }"),
        (". {\n}\n}\n", "Corefile:3: unexpected }"),
        ("{\n errors\n}", "Corefile:1: a server block needs a zone"),
        ('. {\n log "x\n}\n', "Corefile:2: a quoted string has no end"),
        (". {\n import nothing\n}", "Corefile:2: import: there is no snippet"),
        ("a..b {\n}", "Corefile:1: 'a..b' is not a zone"),
        (".:99999 {\n}", "Corefile:1: port 99999 is out of range"),
        ("tls://. {\n}", "Corefile:1: tls:// is not served"),
        ("10.0.0.0/99 {\n}", "is not a zone"),
        (". {\n}\n. {\n}", "Corefile:3: cannot serve . on port 53: line 1 already does"),
        (". {\n" + "a {\n" * 40, "nested too deep"),
    ],
)
def test_mistakes_name_their_line(text, said):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in str(caught.value)


@given(st.text(alphabet='.a:{}"\\ \n#()/,$%', max_size=60))
def test_any_text_parses_or_is_a_config_error(text):
    with contextlib.suppress(ConfigError):
        parse(text)
