"""ready: `/ready` on `[ADDRESS]` (:8181) is 200 once all plugins are ready, else 503 with a list.

    ready [ADDRESS] {
        monitor until-ready|continuously
    }

With `until-ready`, the default, a plugin that was ready once is not asked again.
https://coredns.io/plugins/ready/
"""

from __future__ import annotations

import logging

from netemu.dns.corefile import Line
from netemu.dns.plugin import Block, Plugin, listen_of, one_arg

log = logging.getLogger(__name__)

DEFAULT = ":8181"


class Ready(Plugin):
    name = "ready"

    def __init__(self, block: Block) -> None:
        self.runtime = block.runtime
        self.continuously = False
        self._seen: set[int] = set()

    def answer(self) -> tuple[int, str, bytes]:
        instance = self.runtime.instance
        waiting = []
        for plugin in instance.plugins if instance else ():
            if id(plugin) in self._seen and not self.continuously:
                continue
            if plugin.ready():
                self._seen.add(id(plugin))
            else:
                waiting.append(plugin.name)
        kind = "text/plain; charset=utf-8"
        if waiting or instance is None:
            log.info(f'Plugins not ready: "{",".join(sorted(set(waiting)))}"')
            return 503, kind, ",".join(sorted(set(waiting))).encode()
        return 200, kind, b"OK"


def setup(line: Line, block: Block) -> Plugin:
    if len(line.args) > 1:
        line.fail("takes at most one address")
    host, port = listen_of(line, line.args[0] if line.args else DEFAULT)
    plugin = Ready(block)
    for option in line.body:
        if option.name != "monitor" or one_arg(option) not in ("until-ready", "continuously"):
            option.fail("is not an option of ready; there is monitor until-ready|continuously")
        plugin.continuously = option.args[0] == "continuously"
    block.http[host, port, "/ready"] = plugin.answer
    return plugin
