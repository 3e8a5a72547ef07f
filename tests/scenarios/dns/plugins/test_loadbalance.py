"""loadbalance: https://coredns.io/plugins/loadbalance/."""

from __future__ import annotations

from scenarios.dns.questions import KUBERNETES, ask, corefile, values, wait_for


def test_loadbalance_spreads_evenly(start_resolver):
    resolver = start_resolver(corefile(KUBERNETES, "loadbalance"))
    first: dict[str, int] = {}
    for _ in range(320):
        top = values(ask(resolver, "db.alpha.svc.cluster.local."))[0]
        first[top] = first.get(top, 0) + 1
    assert len(first) == 4
    assert all(65 <= count <= 95 for count in first.values()), first


def test_loadbalance_prefer(start_resolver):
    text = corefile(KUBERNETES, "loadbalance round_robin {\n prefer 10.244.2.6/32\n}")
    resolver = start_resolver(text)
    for _ in range(8):
        assert values(ask(resolver, "db.alpha.svc.cluster.local."))[0] == "10.244.2.6"


def test_loadbalance_weighted(start_resolver, tmp_path):
    (tmp_path / "weights").write_text("db.alpha.svc.cluster.local\n10.244.2.1 200\n10.244.2.2 1\n")
    text = corefile(KUBERNETES, f"loadbalance weighted {tmp_path / 'weights'}")
    resolver = start_resolver(text)
    tops = [values(ask(resolver, "db.alpha.svc.cluster.local."))[0] for _ in range(60)]
    assert tops.count("10.244.2.1") > 45


def test_round_robin_is_the_default_and_can_be_said(start_resolver):
    for words in ("loadbalance", "loadbalance round_robin"):
        resolver = start_resolver(corefile(KUBERNETES, words))
        tops = {values(ask(resolver, "db.alpha.svc.cluster.local."))[0] for _ in range(40)}
        assert len(tops) == 4


def test_without_it_the_order_stays(start_resolver):
    resolver = start_resolver(corefile(KUBERNETES))
    assert (
        len({tuple(values(ask(resolver, "db.alpha.svc.cluster.local."))) for _ in range(20)}) == 1
    )


def test_weights_are_read_again_and_mistakes_change_nothing(start_resolver, tmp_path):
    file = tmp_path / "weights"
    name = "db.alpha.svc.cluster.local"
    file.write_text(f"{name}\n10.244.2.1 255\n10.244.2.2 1\n10.244.2.3 1\n10.244.2.6 1\n")
    text = corefile(KUBERNETES, f"loadbalance weighted {file} {{\n reload 50ms\n}}")
    resolver = start_resolver(text)

    def tops() -> list[str]:
        return [values(ask(resolver, f"{name}."))[0] for _ in range(30)]

    assert tops().count("10.244.2.1") > 20
    file.write_text(f"{name}\n10.244.2.1 many\n")
    wait_for(lambda: "the weights stay as they were" in resolver.text())
    assert tops().count("10.244.2.1") > 20
    file.write_text(f"{name}\n10.244.2.1 1\n10.244.2.2 255\n10.244.2.3 1\n10.244.2.6 1\n")
    wait_for(lambda: tops().count("10.244.2.2") > 20)
