"""loop: https://coredns.io/plugins/loop/."""

from __future__ import annotations

import re

from scenarios.dns.questions import corefile, free_port


def test_a_loop_stops_the_process(start_resolver):
    port = free_port()
    resolver = start_resolver(
        corefile("loop", f"forward . 127.0.0.1:{port}"), "--listen", f"127.0.0.1:{port}"
    )
    assert resolver.process.wait(10) == 1
    assert re.search(
        r'\[FATAL\] plugin/loop: Loop \(127\.0\.0\.1:\d+ -> :53\) detected for zone "\."',
        resolver.text(),
    )
    assert "https://coredns.io/plugins/loop#troubleshooting" in resolver.text()


def test_a_good_upstream_is_no_loop(start_resolver):
    resolver = start_resolver(corefile("loop", "forward . {upstream}"))
    assert resolver.alive
