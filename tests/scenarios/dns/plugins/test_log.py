"""log, errors: https://coredns.io/plugins/log/, https://coredns.io/plugins/errors/."""

from __future__ import annotations

import re

import pytest

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, free_port, wait_for


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


GONE = "absent.alpha.svc.cluster.local."


@pytest.mark.parametrize(
    ("classes", "logged"),
    [
        ("all", {WEB, GONE, "x.test.", f"_{WEB}"}),
        ("success", {WEB}),
        ("denial", {GONE, f"_{WEB}"}),
        ("error", {"x.test."}),
        ("success error", {WEB, "x.test."}),
    ],
)
def test_classes(start_resolver, classes, logged):
    form = f'log . "{{name}} {{type}}" {{\n class {classes}\n}}'
    resolver = start_resolver(corefile(form, KUBERNETES))
    for name, kind in ((WEB, "A"), (GONE, "A"), ("x.test.", "A"), (WEB, "TXT")):
        ask(resolver, name, kind)
    lines = re.findall(r"\[INFO\] (\S+) (A|TXT)$", resolver.text(), re.M)
    assert {name if kind == "A" else f"_{name}" for name, kind in lines} == logged


def test_names_and_formats(start_resolver):
    resolver = start_resolver(corefile("log a.test b.test {combined}", KUBERNETES))
    for name in ("x.a.test.", "x.b.test.", "x.c.test."):
        ask(resolver, name)
    assert re.search(r'"A IN x\.a\.test\. udp .* REFUSED qr,rd \d+ 0\.\d+s "0"', resolver.text())
    assert "x.b.test." in resolver.text()
    assert "x.c.test." not in resolver.text()


def test_every_field(start_resolver):
    form = "{type} {class} {name} {proto} {remote} {local} {size} {port} {rcode} {rsize} {>rflags}"
    resolver = start_resolver(corefile(f'log . "{form} {{>opcode}} {{none}}"', KUBERNETES))
    ask(resolver, WEB, tcp=True)
    line = r"A IN web\S+ tcp 127.0.0.1 127.0.0.1 45 \d+ NOERROR 88 qr,aa,rd 0 -$"
    assert re.search(line, resolver.text(), re.M), resolver.text()


class TestErrors:
    def failing(self, start_resolver, *options: str):
        lines = "\n".join(options)
        text = f"errors {{\n{lines}\n}}" if options else "errors"
        return start_resolver(corefile(text, f"forward . 127.0.0.1:{free_port()}"))

    def test_each_is_a_line(self, start_resolver):
        resolver = self.failing(start_resolver)
        for _ in range(3):
            ask(resolver, "x.test.")
        assert resolver.text().count("[ERROR] plugin/errors: 2 x.test. A: 127.0.0.1:") == 3

    def test_without_it_nothing_is_said(self, start_resolver):
        resolver = start_resolver(corefile(f"forward . 127.0.0.1:{free_port()}"))
        ask(resolver, "x.test.")
        assert "x.test." not in resolver.text()

    def test_consolidated(self, start_resolver):
        resolver = self.failing(
            start_resolver, 'consolidate 1m ".*refused$" warning', "consolidate 1m nothing"
        )
        for _ in range(5):
            ask(resolver, "x.test.")
        assert "x.test." not in resolver.text()
        resolver.stop()
        said = "[WARNING] plugin/errors: 5 errors like '.*refused$' occurred in last 1m0s"
        assert said in resolver.text()

    def test_the_first_of_them_is_shown(self, start_resolver):
        resolver = self.failing(start_resolver, "consolidate 100ms refused show_first")
        for _ in range(4):
            ask(resolver, "x.test.")
        wait_for(lambda: "errors like 'refused' occurred in last 100ms" in resolver.text())
        assert "[ERROR] plugin/errors: 2 x.test. A: " in resolver.text()
