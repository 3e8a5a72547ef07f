"""What may be a name: DNS labels, label keys and values, ports; and how a name is generated.

Each check returns what is wrong, in Kubernetes' words; an empty list means that it is fine.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels and no look-alikes, so that no words come out."""
MAX_GENERATED_BASE = 58

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HTTP_HEADER = "[-A-Za-z0-9]+"

_label = re.compile(_LABEL).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}").fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_config_key = re.compile(_CONFIG_KEY).fullmatch
_http_header = re.compile(_HTTP_HEADER).fullmatch
_port_charset = re.compile("[-a-z0-9]+").fullmatch


def _regex(message: str, pattern: str, *examples: str) -> str:
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{message} (e.g. {shown}, regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def _checker(limit: int, match: Callable[[str], Any], message: str) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        wrong = [too_long(limit)] if len(text) > limit else []
        return wrong if match(text) else [*wrong, message]

    return lru_cache(maxsize=4096)(check)


_dns1123_label = _checker(
    63,
    _label,
    _regex(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        "must start and end with an alphanumeric character",
        _LABEL,
        "my-name",
        "123-abc",
    ),
)
dns1123_subdomain = _checker(
    253,
    _subdomain,
    _regex(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character",
        _SUBDOMAIN,
        "example.com",
    ),
)


def dns1123_label(text: str) -> list[str]:
    wrong = _dns1123_label(text)
    if wrong and _subdomain(text) and "." in text:
        return [*wrong[:-1], "must not contain dots"]
    return wrong


dns1035_label = _checker(
    63,
    _label_1035,
    _regex(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character",
        _LABEL_1035,
        "my-name",
        "abc-123",
    ),
)
wildcard_subdomain = _checker(
    253,
    _wildcard,
    _regex(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
        "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
        "alphanumeric character",
        rf"\*\.{_SUBDOMAIN}",
        "*.example.com",
    ),
)
_label_value = _checker(
    63,
    re.compile(f"({_QUALIFIED})?").fullmatch,
    _regex(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character",
        f"({_QUALIFIED})?",
        "MyValue",
        "my_value",
        "12345",
    ),
)
_NAME_PART = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)


def label_value(text: str) -> list[str]:
    return _label_value(text)


@lru_cache(maxsize=4096)
def _qualified_name(text: str) -> tuple[str, ...]:
    prefix, slash, name = text.rpartition("/")
    if prefix.count("/"):
        message = "a qualified name " + _NAME_PART
        return (
            message + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    wrong = []
    if slash and not prefix:
        wrong.append("prefix part must be non-empty")
    elif slash:
        wrong += [f"prefix part {problem}" for problem in dns1123_subdomain(prefix)]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > 63:
        wrong.append(f"name part {too_long(63)}")
    if not _qualified(name):
        wrong.append(f"name part {_NAME_PART}")
    return tuple(wrong)


def qualified_name(text: str) -> list[str]:
    """A label or annotation key: an optional DNS prefix with `/`, then a name."""
    return list(_qualified_name(text))


def path_segment(text: str) -> list[str]:
    """What may stand alone in a URL path: the weakest rule, for RBAC names."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{mark}'" for mark in "/%" if mark in text]


def port_name(text: str) -> list[str]:
    """An IANA service name: at most 15 characters with a letter."""
    wrong = []
    if len(text) > 15:
        wrong.append(too_long(15))
    if not _port_charset(text):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(letter in "abcdefghijklmnopqrstuvwxyz" for letter in text):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in text:
        wrong.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def port_number(port: int) -> list[str]:
    return [] if 0 < port < 65536 else ["must be between 1 and 65535, inclusive"]


def env_name(text: str) -> list[str]:
    """An environment variable: any printable ASCII but '=' (relaxed since 1.34)."""
    if not text:
        return ["environment variable name must be non-empty"]
    if all(" " <= letter <= "~" and letter != "=" for letter in text):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters other "
        "than '='"
    ]


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret, which becomes a file name."""
    wrong = [too_long(253)] if len(text) > 253 else []
    if not _config_key(text):
        message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        wrong.append(_regex(message, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if text == ".":
        wrong.append("must not be '.'")
    elif text == "..":
        wrong.append("must not be '..'")
    elif text.startswith(".."):
        wrong.append("must not start with '..'")
    return wrong


def http_header(text: str) -> list[str]:
    if _http_header(text):
        return []
    message = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_regex(message, _HTTP_HEADER, "X-Header-Name")]


IP_MESSAGE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


@lru_cache(maxsize=8192)
def ip_version(text: str) -> int:
    """4 or 6; 0 when it is no address. Leading zeros are refused, as netip does."""
    try:
        return ipaddress.ip_address(text).version if "%" not in text else 0
    except ValueError:
        return 0


def ip(text: str) -> list[str]:
    return [] if ip_version(text) else [IP_MESSAGE]


def cidr(text: str) -> list[str]:
    """An address and a number of bits; no mask in dots."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        pass
    else:
        bits = text.partition("/")[2]
        if bits.isascii() and bits.isdigit():
            return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


_RULES: dict[str, Callable[[str], list[str]]] = {
    "dns1123-subdomain": dns1123_subdomain,
    "dns1123-label": dns1123_label,
    "dns1035-label": dns1035_label,
    "path-segment": path_segment,
    "any": lambda text: [],
}


def check(rule: str, name: str) -> list[str]:
    """What is wrong with `name` under a Kind's name rule."""
    return _RULES[rule](name)


def check_prefix(rule: str, prefix: str) -> list[str]:
    """The same for `metadata.generateName`, to which letters will be added."""
    if rule != "path-segment" and prefix.endswith("-"):
        prefix = prefix[:-1] + "a"
    return _RULES[rule](prefix)


def generate(prefix: str, random: Random) -> str:
    """`prefix` and five letters, as generateName asks."""
    suffix = "".join(random.choices(SUFFIX_LETTERS, k=5))
    return prefix[:MAX_GENERATED_BASE] + suffix
