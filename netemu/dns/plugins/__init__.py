"""The plugins, one a file, and the fixed order in which a query passes them.

The order in the Corefile means nothing; this one is CoreDNS's `plugin.cfg`. A plugin's module has
`setup(line, block)`, which reads its directive and returns the plugin. Modules are imported when a
Corefile names them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from netemu.dns.corefile import Line
from netemu.dns.plugin import Block, Plugin

ORDER = (
    "reload",
    "bufsize",
    "bind",
    "ready",
    "health",
    "prometheus",
    "errors",
    "log",
    "any",
    "chaos",
    "loadbalance",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "template",
    "transfer",
    "hosts",
    "kubernetes",
    "file",
    "loop",
    "forward",
    "whoami",
)

_MODULES = {"any": "any_query", "prometheus": "metrics"}
"""Where the plugin's name would hide a word of Python, or of ours."""

REPEATABLE = frozenset(
    {"file", "forward", "kubernetes", "log", "rewrite", "template", "acl", "transfer"}
)
"""Directives that may stand in a block more than once."""


def setup(line: Line, block: Block) -> Plugin:
    """Make the plugin that a directive asks for; ConfigError says what is wrong with it."""
    if line.name not in ORDER:
        line.fail(f"there is no such plugin; there are {', '.join(ORDER)}")
    module = import_module(f"netemu.dns.plugins.{_MODULES.get(line.name, line.name)}")
    make = cast(Callable[[Line, Block], Plugin], module.setup)
    return make(line, block)
