"""autopath: https://coredns.io/plugins/autopath/."""

from __future__ import annotations

import dns.rcode

from scenarios.dns.questions import (
    HERE,
    KUBERNETES,
    WEB,
    ask,
    corefile,
    counter,
    free_port,
    rows,
    values,
)


def test_autopath(start_resolver, tmp_path):
    (tmp_path / "resolv.conf").write_text(
        "search beta.svc.cluster.local svc.cluster.local cluster.local\n"
    )
    resolver = start_resolver(
        corefile(f"autopath {tmp_path / 'resolv.conf'}", KUBERNETES, "forward . {upstream}")
    )
    assert rows(ask(resolver, "web.alpha.beta.svc.cluster.local.")) == [
        f"web.alpha.beta.svc.cluster.local. 30 CNAME {WEB}",
        f"{WEB} 30 A 10.96.10.1",
    ]
    assert rows(ask(resolver, "www.example.test.beta.svc.cluster.local.")) == [
        "www.example.test.beta.svc.cluster.local. 60 CNAME www.example.test.",
        "www.example.test. 60 A 198.51.100.80",
    ]
    assert ask(resolver, "gone.test.beta.svc.cluster.local.").rcode() == dns.rcode.NXDOMAIN


def test_autopath_knows_the_client_pod(start_resolver, tmp_path):
    (tmp_path / "pod.yaml").write_text(
        "kind: Pod\nmetadata: {name: me, namespace: alpha}\n"
        "status: {phase: Running, podIP: 127.0.0.1}\n"
    )
    (tmp_path / "resolv.conf").write_text("search host.test\n")
    verified = KUBERNETES.replace("insecure", "verified")
    resolver = start_resolver(
        corefile("autopath @kubernetes", verified, "forward . {upstream}"),
        "--resolv-conf", str(tmp_path / "resolv.conf"),
        objects=[HERE / "world.yaml", tmp_path / "pod.yaml"],
    )  # fmt: skip
    assert values(ask(resolver, "web.alpha.alpha.svc.cluster.local."))[1:] == ["10.96.10.1"]
    assert values(ask(resolver, "www.example.test.alpha.svc.cluster.local."))[1:] == [
        "198.51.100.80"
    ]


def test_only_in_its_zones_and_counted(start_resolver, tmp_path):
    (tmp_path / "resolv.conf").write_text("search a.test b.test\n")
    port = free_port()
    resolver = start_resolver(
        corefile(
            f"prometheus 127.0.0.1:{port}",
            f"autopath a.test {tmp_path / 'resolv.conf'}",
            'template IN A b.test {\n answer "{{ .Name }} 60 IN A 192.0.2.2"\n}',
            "template IN A a.test {\n rcode NXDOMAIN\n}",
        )
    )
    assert values(ask(resolver, "x.a.test.")) == ["x.b.test.", "192.0.2.2"]
    assert values(ask(resolver, "x.b.test.")) == ["192.0.2.2"]
    assert counter(port, "coredns_autopath_success_total{") == 1
