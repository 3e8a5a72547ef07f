"""reload: https://coredns.io/plugins/reload/."""

from __future__ import annotations

import re

from scenarios.dns.questions import (
    KUBERNETES,
    WEB,
    ask,
    corefile,
    counter,
    free_port,
    get,
    rows,
    wait_for,
)


def test_reload_takes_a_good_file_and_refuses_a_bad_one(start_resolver):
    resolver = start_resolver(corefile("reload 2s 1s", KUBERNETES))
    assert rows(ask(resolver, WEB))[0].split()[1] == "30"
    resolver.corefile.write_text(corefile("reload 2s 1s", KUBERNETES.replace("30", "nonsense")))
    wait_for(lambda: "Restart failed" in resolver.text())
    assert re.search(r"Corefile:5: ttl: 'nonsense'", resolver.text())
    assert rows(ask(resolver, WEB))[0].split()[1] == "30"
    resolver.corefile.write_text(corefile("reload 2s 1s", KUBERNETES.replace("30", "11")))
    wait_for(lambda: "Reloading complete" in resolver.text())
    assert rows(ask(resolver, WEB))[0].split()[1] == "11"


def test_what_it_did_is_in_the_metrics(start_resolver):
    port = free_port()
    lines = (f"prometheus 127.0.0.1:{port}", "reload 2s 1s", KUBERNETES)
    resolver = start_resolver(corefile(*lines))
    version = re.search(r'version_info{hash="sha512",value="(\w+)"} 1', get(port, "/metrics")[1])
    resolver.corefile.write_text(corefile(*lines, "nonsense"))
    wait_for(lambda: counter(port, "coredns_reload_failed_total") > 0)
    resolver.corefile.write_text(corefile(*lines, "whoami"))
    wait_for(lambda: version[1] not in get(port, "/metrics")[1])


def test_off(start_resolver):
    """An interval as short as it may be is over in three seconds; off, nothing is read by then."""
    resolver = start_resolver(corefile("reload off", KUBERNETES))
    other = start_resolver(corefile("reload 2s 1s", KUBERNETES))
    for each in (resolver, other):
        each.corefile.write_text(corefile(KUBERNETES.replace("30", "11")))
    wait_for(lambda: rows(ask(other, WEB))[0].split()[1] == "11")
    assert rows(ask(resolver, WEB))[0].split()[1] == "30"
