"""The three resolver models, over a table of answers."""

from __future__ import annotations

import pytest

from netemu.dns import wire
from netemu.dns.stub import Outcome, Resolver, candidates, walk

SEARCH = ("ns.svc.z", "svc.z", "z")
RESOLVER = Resolver(nameservers=("10.96.0.10",), searches=SEARCH, ndots=5)
BOTH = (wire.A, wire.AAAA)


def answers(**table: tuple[str, str]):
    """`name_with_underscores=(A verdict, AAAA verdict)`; all else is NXDOMAIN."""
    known = {name.replace("_", ".") + ".": pair for name, pair in table.items()}

    def outcome(qtype: int, verdict: str) -> Outcome:
        if verdict == "timeout":
            return Outcome(qtype=qtype, rcode=-1)
        if verdict == "NODATA":
            return Outcome(qtype=qtype, rcode=wire.NOERROR)
        if verdict in wire.RCODES:
            return Outcome(qtype=qtype, rcode=wire.RCODES[verdict])
        return Outcome(qtype=qtype, rcode=wire.NOERROR, addresses=(verdict,))

    def ask(name, qtypes):
        pair = known.get(name, ("NXDOMAIN", "NXDOMAIN"))
        return [outcome(qtype, pair[BOTH.index(qtype)]) for qtype in qtypes]

    return ask


def names(done):
    return [step.name for step in done.steps]


@pytest.mark.parametrize("model", ["glibc", "musl", "go"])
def test_few_dots_search_first(model):
    assert candidates(model, "web", RESOLVER) == [
        "web.ns.svc.z.", "web.svc.z.", "web.z.", "web.",
    ]  # fmt: skip


def test_enough_dots():
    name = "a.b.c.d.e.f"
    assert candidates("glibc", name, RESOLVER)[0] == "a.b.c.d.e.f."
    assert len(candidates("glibc", name, RESOLVER)) == 4
    assert len(candidates("go", name, RESOLVER)) == 4
    assert candidates("musl", name, RESOLVER) == ["a.b.c.d.e.f."]


@pytest.mark.parametrize("model", ["glibc", "musl", "go"])
def test_a_final_dot_ends_the_search(model):
    assert candidates(model, "web.", RESOLVER) == ["web."]


@pytest.mark.parametrize("model", ["glibc", "musl", "go"])
def test_an_outside_name_costs_eight_queries(model):
    done = walk(
        model, "www.example.org", BOTH, RESOLVER, answers(www_example_org=("1.2.3.4", "NODATA"))
    )
    assert done.queries == 8
    assert done.found[0].addresses == ("1.2.3.4",)


def test_nodata_ends_musls_search_only():
    ask = answers(web_ns_svc_z=("NODATA", "NODATA"), web_svc_z=("1.2.3.4", "NODATA"))
    assert names(walk("musl", "web", BOTH, RESOLVER, ask)) == ["web.ns.svc.z."]
    assert walk("musl", "web", BOTH, RESOLVER, ask).error.startswith("EAI_NODATA")
    for model in ("glibc", "go"):
        done = walk(model, "web", BOTH, RESOLVER, ask)
        assert names(done) == ["web.ns.svc.z.", "web.svc.z."]
        assert done.found


def test_musl_drops_an_address_when_the_other_family_is_nxdomain():
    ask = answers(web_ns_svc_z=("1.2.3.4", "NXDOMAIN"))
    assert not walk("musl", "web", BOTH, RESOLVER, ask).found
    assert walk("glibc", "web", BOTH, RESOLVER, ask).found
    assert walk("go", "web", BOTH, RESOLVER, ask).found


def test_failures():
    ask = answers(web_ns_svc_z=("SERVFAIL", "SERVFAIL"), web_svc_z=("1.2.3.4", "NODATA"))
    assert walk("glibc", "web", BOTH, RESOLVER, ask).found
    assert walk("go", "web", BOTH, RESOLVER, ask).found
    assert walk("musl", "web", BOTH, RESOLVER, ask).error.startswith("EAI_AGAIN")
    late = answers(web_ns_svc_z=("timeout", "timeout"))
    assert walk("glibc", "web", BOTH, RESOLVER, late).error.startswith("EAI_AGAIN")
    last = answers(web_z=("timeout", "timeout"))
    assert walk("go", "web", BOTH, RESOLVER, last).error == "i/o timeout"


@pytest.mark.parametrize(
    ("model", "error"), [("glibc", "EAI_NONAME"), ("musl", "EAI_NONAME"), ("go", "no such host")]
)
def test_nothing_found(model, error):
    assert walk(model, "web", BOTH, RESOLVER, answers()).error.startswith(error)


def test_options():
    resolver = Resolver.with_options(
        ["10.0.0.1"], ["z"], ["ndots:2", "timeout:1", "attempts:3", "single-request-reopen"]
    )
    assert (resolver.ndots, resolver.timeout, resolver.attempts) == (2, 1.0, 3)
    assert resolver.single_request


def test_a_root_search_domain():
    resolver = Resolver(nameservers=("::1",), searches=(".", "z"), ndots=5)
    assert candidates("glibc", "web", resolver) == ["web.", "web.z."]
    for model in ("musl", "go"):
        assert candidates(model, "web", resolver) == ["web.z.", "web."]


@pytest.mark.parametrize("first", ["SERVFAIL", "NXDOMAIN"])
def test_the_first_bad_answer_decides_for_musl(first):
    second = {"SERVFAIL": "NXDOMAIN", "NXDOMAIN": "SERVFAIL"}[first]
    done = walk("musl", "web", BOTH, RESOLVER, answers(web_ns_svc_z=(first, second)))
    assert len(done.steps) == (1 if first == "SERVFAIL" else 4)


def test_musl_waits_when_it_is_refused():
    done = walk("musl", "web", BOTH, RESOLVER, answers(web_ns_svc_z=("REFUSED", "REFUSED")))
    assert done.error.startswith("EAI_AGAIN")


def test_which_failure_is_told():
    some = answers(web_svc_z=("NODATA", "NODATA"), web_z=("SERVFAIL", "SERVFAIL"))
    assert walk("glibc", "web", BOTH, RESOLVER, some).error.startswith("EAI_NODATA")
    assert walk("go", "web", BOTH, RESOLVER, some).error == "server misbehaving"
    name = "a.b.c.d.e.f"
    bare = answers(a_b_c_d_e_f=("SERVFAIL", "SERVFAIL"), a_b_c_d_e_f_z=("NODATA", "NODATA"))
    assert walk("glibc", name, BOTH, RESOLVER, bare).error.startswith("EAI_AGAIN")
    assert walk("go", name, BOTH, RESOLVER, bare).error == "no such host"
