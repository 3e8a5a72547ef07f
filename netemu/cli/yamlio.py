"""YAML out, in the form that kubectl prints.

kubectl uses go-yaml behind sigs.k8s.io/yaml: keys sorted, lists not indented below their key,
strings that YAML would read as something else in double quotes, several lines as a literal block.
libyaml, go-yaml's ancestor, does the rest alike.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_OLD_BOOLEANS = re.compile(r"^(y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$")
_NUMBERISH = re.compile(r"^[-+.]?[0-9][0-9_,:.eExXoObBa-fA-F+-]*$")
_RADIX = re.compile(r"^[-+]?0(o[0-7_]+|x[0-9a-fA-F_]+|b[01_]+)$")
_resolver: Any = yaml.SafeLoader("")


class KubectlDumper(_Base):  # type: ignore[misc]
    """libyaml's emitter with go-yaml's choice of quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if "\n" in text:
        return "|"
    if _OLD_BOOLEANS.match(text) or _reads_as_other(text):
        return '"'
    return None


def _reads_as_other(text: str) -> bool:
    if text == "":
        return True
    tag = _resolver.resolve(yaml.ScalarNode, text, (True, False))
    return bool(tag != "tag:yaml.org,2002:str") or _is_float(text)


def _is_float(text: str) -> bool:
    """Numbers that go-yaml knows and PyYAML's YAML 1.1 pattern does not (`1e3`, `0o17`)."""
    if _RADIX.match(text):
        return True
    if not _NUMBERISH.match(text):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


KubectlDumper.add_representer(str, _string)


def dump(obj: Any) -> str:
    """One document, with its newline at the end."""
    text: str = yaml.dump(
        obj, Dumper=KubectlDumper, default_flow_style=False, sort_keys=True, allow_unicode=True
    )
    return text
