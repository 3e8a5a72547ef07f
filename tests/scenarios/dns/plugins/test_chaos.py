"""chaos: https://coredns.io/plugins/chaos/."""

from __future__ import annotations

import platform

import pytest

from scenarios.dns.questions import KUBERNETES, ask, corefile, rcode, values


@pytest.fixture(scope="module")
def named(keep_resolver):
    return keep_resolver(corefile("chaos Version-7 Ann Bob", KUBERNETES))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("version.bind.", ['"Version-7"']),
        ("version.server.", ['"Version-7"']),
        ("hostname.bind.", [f'"{platform.node()}"']),
        ("id.server.", [f'"{platform.node()}"']),
        ("authors.bind.", ['"Ann"', '"Bob"']),
    ],
)
def test_what_it_knows(named, name, said):
    assert values(ask(named, name, "TXT", rdclass="CH")) == said


def test_the_rest_of_the_class_is_refused(named):
    assert rcode(ask(named, "version.other.", "TXT", rdclass="CH")) == "REFUSED"


def test_without_arguments_it_is_netemu(start_resolver):
    resolver = start_resolver(corefile("chaos"))
    assert values(ask(resolver, "version.bind.", "TXT", rdclass="CH"))[0].startswith('"netemu-')
