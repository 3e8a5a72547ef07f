"""prometheus: CoreDNS's metrics; https://coredns.io/plugins/metrics/."""

from __future__ import annotations

import time

import dns.flags

from scenarios.dns.questions import KUBERNETES, WEB, ask, corefile, counter, free_port, get


def test_health_ready_and_metrics(start_resolver):
    ports = [free_port() for _ in range(3)]
    resolver = start_resolver(
        corefile(
            "errors",
            f"health 127.0.0.1:{ports[0]} {{\n lameduck 1s\n}}",
            f"ready 127.0.0.1:{ports[1]}",
            f"prometheus 127.0.0.1:{ports[2]}",
            KUBERNETES,
            "loadbalance",
        )
    )
    assert get(ports[0], "/health") == (200, "OK")
    assert get(ports[1], "/ready") == (200, "OK")
    assert get(ports[1], "/nowhere")[0] == 404
    for _ in range(5):
        ask(resolver, WEB)
    ask(resolver, WEB, "AAAA", tcp=True)
    ask(resolver, "absent.alpha.svc.cluster.local.", payload=1232)
    text = get(ports[2], "/metrics")[1]
    labels = 'server="dns://:53",zone=".",view=""'
    for line in (
        f'coredns_dns_requests_total{{{labels},proto="udp",family="1",type="A"}} 6',
        f'coredns_dns_requests_total{{{labels},proto="tcp",family="1",type="AAAA"}} 1',
        f'coredns_dns_responses_total{{{labels},rcode="NOERROR",plugin="kubernetes"}} 6',
        f'coredns_dns_responses_total{{{labels},rcode="NXDOMAIN",plugin="kubernetes"}} 1',
        f"coredns_dns_request_duration_seconds_count{{{labels}}} 7",
        f'coredns_dns_request_size_bytes_count{{{labels},proto="udp"}} 6',
        f'coredns_dns_response_size_bytes_count{{{labels},proto="udp"}} 6',
        'coredns_plugin_enabled{server="dns://:53",zone=".",view="",name="kubernetes"} 1',
        "coredns_panics_total 0",
    ):
        assert line in text.splitlines(), text
    started = time.monotonic()
    assert resolver.stop() == 0
    assert time.monotonic() - started >= 1
    assert "lameduck mode for 1s" in resolver.text()


def test_what_nobody_serves_and_who_sets_do(start_resolver):
    port = free_port()
    resolver = start_resolver(corefile(f"prometheus 127.0.0.1:{port}", KUBERNETES, zone="a.test"))
    ask(resolver, "x.b.test.")
    ask(resolver, "x.a.test.", "LOC", ednsflags=dns.flags.DO)
    labels = 'server="dns://:53",zone="a.test.",view=""'
    assert counter(port, f"coredns_dns_do_requests_total{{{labels}}}") == 1
    kind = 'proto="udp",family="1",type="other"'
    assert counter(port, f"coredns_dns_requests_total{{{labels},{kind}}}") == 1


def test_build_info(start_resolver):
    port = free_port()
    start_resolver(corefile(f"prometheus 127.0.0.1:{port}"))
    assert 'coredns_build_info{version="netemu-' in get(port, "/metrics")[1]
