from random import Random

import pytest

from netemu.api import names


@pytest.mark.parametrize(
    ("rule", "name", "good"),
    [
        ("dns1123-subdomain", "web-0.example", True),
        ("dns1123-subdomain", "Web", False),
        ("dns1123-subdomain", "a" * 254, False),
        ("dns1123-label", "9lives", True),
        ("dns1123-label", "a.b", False),
        ("dns1123-label", "a" * 64, False),
        ("dns1035-label", "9lives", False),
        ("dns1035-label", "svc-1", True),
        ("path-segment", "system:node", True),
        ("path-segment", "a/b", False),
        ("path-segment", "..", False),
    ],
)
def test_rules(rule: str, name: str, good: bool) -> None:
    assert (names.check(rule, name) == []) is good


def test_kubernetes_words() -> None:
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("http", True),
        ("a" * 16, False),
        ("80", False),
        ("a--b", False),
        ("-a", False),
        ("A", False),
    ],
)
def test_port_names(name: str, good: bool) -> None:
    assert (names.port_name(name) == []) is good


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("app", True),
        ("example.com/App_1", True),
        ("/app", False),
        ("a/b/c", False),
        ("example.com/", False),
        ("Example.com/app", False),
        ("a" * 64, False),
    ],
)
def test_label_keys(key: str, good: bool) -> None:
    assert (names.qualified_name(key) == []) is good


@pytest.mark.parametrize(
    ("address", "version"),
    [("10.0.0.1", 4), ("fd00::1", 6), ("10.0.0.256", 0), ("010.0.0.1", 0), ("fe80::1%eth0", 0)],
)
def test_addresses(address: str, version: int) -> None:
    assert names.ip_version(address) == version


def test_generated_names() -> None:
    random = Random(1)
    made = names.generate("web-", random)
    assert made.startswith("web-") and len(made) == 9
    assert set(made[4:]) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert names.generate("web-", random) != made
    assert len(names.generate("x" * 80, random)) == 63


def test_a_generate_name_may_end_with_a_dash() -> None:
    assert names.check_prefix("dns1123-label", "web-") == []
    assert names.check_prefix("dns1123-label", "-web") != []
