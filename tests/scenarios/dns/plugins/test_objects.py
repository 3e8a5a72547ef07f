"""Objects that contradict each other or cannot be served: told once, the rest is served."""

from __future__ import annotations

import dns.rcode

from scenarios.dns.questions import ask, corefile, values


def test_objects_that_contradict_are_told_once_and_the_rest_is_served(start_resolver, tmp_path):
    (tmp_path / "o.yaml").write_text(
        "kind: Service\nmetadata: {name: good, namespace: a}\nspec: {clusterIP: 10.0.0.1}\n---\n"
        "kind: Service\nmetadata: {name: bad, namespace: a}\nspec: {clusterIP: 10.0.0.300}\n---\n"
        "kind: Service\nmetadata: {name: odd, namespace: a}\nspec: {ports: 7}\n---\n"
        "kind: EndpointSlice\nmetadata: {name: s, namespace: a, labels:"
        " {kubernetes.io/service-name: unknown}}\nendpoints: [{addresses: [x, 10.1.1.1]}]\n"
    )
    resolver = start_resolver(
        corefile("kubernetes cluster.local in-addr.arpa"), objects=[tmp_path / "o.yaml"]
    )
    assert values(ask(resolver, "good.a.svc.cluster.local.")) == ["10.0.0.1"]
    assert ask(resolver, "bad.a.svc.cluster.local.").rcode() == dns.rcode.NXDOMAIN
    assert ask(resolver, "1.1.1.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
    for said in ("'10.0.0.300' is not an IP address", "Service odd", "'x' is not an IP address"):
        assert resolver.text().count(said) == 1, resolver.text()


def test_what_has_no_wire_form_is_told_once_and_the_rest_is_served(start_resolver, tmp_path):
    """Labels and names that are too long, ports that are none: not SERVFAIL for the whole name."""
    (tmp_path / "o.yaml").write_text(
        f"kind: Service\nmetadata: {{name: {'a' * 300}, namespace: n}}\n"
        "spec: {clusterIP: 10.0.0.1}\n---\n"
        "kind: Service\nmetadata: {name: odd, namespace: n}\n"
        "spec: {clusterIP: 10.0.0.2, ports: [{name: x, port: 99999}, {name: y, port: 80}]}\n---\n"
        f"kind: Service\nmetadata: {{name: {'b' * 63}, namespace: {'c' * 63}}}\n"
        "spec: {clusterIP: None, ports: [{port: 80}]}\n---\n"
        "kind: EndpointSlice\nmetadata: {name: s, namespace: "
        f"{'c' * 63}, labels: {{kubernetes.io/service-name: {'b' * 63}}}}}\nports: [{{port: 80}}]\n"
        f"endpoints: [{{addresses: [10.1.1.1], hostname: {'d' * 63}}},"
        " {addresses: [10.1.1.2], hostname: short}]\n"
    )
    zone = f"{'z' * 60}.test."
    resolver = start_resolver(
        corefile(f"kubernetes {zone} in-addr.arpa"), objects=[tmp_path / "o.yaml"]
    )
    for _ in range(3):
        long = ask(resolver, "1.0.0.10.in-addr.arpa.", "PTR")
        assert long.rcode() == dns.rcode.NXDOMAIN
        assert values(ask(resolver, f"odd.n.svc.{zone}", "SRV")) == [f"0 100 80 odd.n.svc.{zone}"]
        assert values(ask(resolver, "2.0.0.10.in-addr.arpa.", "PTR")) == [f"odd.n.svc.{zone}"]
        below = f"{'b' * 63}.{'c' * 63}.svc.{zone}"
        assert values(ask(resolver, below, "SRV")) == [f"0 50 80 short.{below}"]
        assert ask(resolver, "1.1.1.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
        assert values(ask(resolver, "2.1.1.10.in-addr.arpa.", "PTR")) == [f"short.{below}"]
    log = resolver.text()
    for said in ("has 300", "99999 is not a port", "at most 255 octets"):
        assert log.count(said) == 1, log
    assert "Traceback" not in log
