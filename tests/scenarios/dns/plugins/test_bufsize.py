"""bufsize: https://coredns.io/plugins/bufsize/."""

from __future__ import annotations

import json

import dns.flags
import dns.message
import pytest

from scenarios.dns.questions import corefile

NAME = "many.alpha.svc.cluster.local."


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    endpoints = [{"addresses": [f"10.1.0.{n}"]} for n in range(1, 200)]
    labels = {"kubernetes.io/service-name": "many"}
    meta = {"namespace": "alpha", "name": "many"}
    items = [
        {"kind": "Service", "metadata": meta, "spec": {"clusterIP": "None"}},
        {"kind": "EndpointSlice", "metadata": meta | {"labels": labels}, "endpoints": endpoints},
    ]
    path = tmp_path_factory.mktemp("bufsize") / "o.json"
    path.write_text(json.dumps({"kind": "List", "items": items}))
    return [path]


@pytest.mark.parametrize(("option", "most"), [("", 1232), (" 1232", 1232), (" 700", 700)])
def test_no_reply_is_larger(start_resolver, objects, option, most):
    text = corefile(f"bufsize{option}", "kubernetes cluster.local")
    resolver = start_resolver(text, objects=objects)
    for size, limit in ((4096, most), (600, 600)):
        query = dns.message.make_query(NAME, "A")
        query.use_edns(0, payload=size)
        for _ in range(2):  # the second from what was kept of the first
            data = resolver.raw(query.to_wire())
            assert limit - 32 < len(data) <= limit
            assert dns.message.from_wire(data).flags & dns.flags.TC


def test_without_it_a_client_gets_what_it_asks_for(start_resolver, objects):
    resolver = start_resolver(corefile("kubernetes cluster.local"), objects=objects)
    query = dns.message.make_query(NAME, "A")
    query.use_edns(0, payload=8192)
    assert len(dns.message.from_wire(resolver.raw(query.to_wire())).answer[0]) == 199
