"""health, ready: what probes hear; https://coredns.io/plugins/health/, https://coredns.io/plugins/ready/."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from scenarios.dns.questions import HERE, WEB, ask, corefile, free_port, get, rcode, rows, wait_for


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "Corefile"
        path.write_text(corefile(f"health 127.0.0.1:{port}"))
        done = subprocess.run(
            [sys.executable, "-m", "netemu.dns", "--objects", str(HERE / "world.yaml"),
             "--corefile", str(path), "--listen", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_health_and_its_counters(start_resolver):
    port, metrics = free_port(), free_port()
    resolver = start_resolver(
        corefile(f"health 127.0.0.1:{port}", f"prometheus 127.0.0.1:{metrics}")
    )
    assert get(port, "/health") == (200, "OK")
    wait_for(
        lambda: "coredns_health_request_duration_seconds_count 1" in get(metrics, "/metrics")[1]
    )
    assert "coredns_health_request_failures_total 0" in get(metrics, "/metrics")[1]
    assert resolver.alive


@pytest.fixture
def unsynced(start_resolver, tmp_path):
    """A resolver whose API server is not there; `words` go into its block."""

    def start(*words):
        zones = "kubernetes cluster.local"
        lines = "\n".join(("startup_timeout 200ms", "ttl 30"))
        text = corefile(*words, f"{zones} {{\n {lines}\n}}")
        return start_resolver(text, "--api", f"unix:{tmp_path}/nobody.sock", objects=[])

    return start


def test_startup_timeout_then_it_serves_what_it_has(unsynced):
    resolver = unsynced()
    assert "starting server with unsynced Kubernetes API" in resolver.text()
    reply = ask(resolver, WEB)
    assert rcode(reply) == "SERVFAIL"
    assert rows(reply, "authority")[0].startswith("cluster.local. 30 SOA ns.dns.cluster.local.")


@pytest.mark.parametrize("monitor", ["until-ready", "continuously"])
def test_ready_names_who_is_not(unsynced, monitor):
    port = free_port()
    resolver = unsynced(f"ready 127.0.0.1:{port} {{\n monitor {monitor}\n}}")
    for _ in range(2):
        assert get(port, "/ready") == (503, "kubernetes")
    assert 'Plugins not ready: "kubernetes"' in resolver.text()
