"""forward: what upstreams say, and what they fail to say; https://coredns.io/plugins/forward/."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from scenarios.dns.questions import ask, corefile, free_port, values


def test_flags_and_ttl(resolver_of):
    reply = ask(resolver_of("kubeadm"), "flags.www.example.test.", "TXT")
    assert reply.flags & dns.flags.RA
    assert not reply.flags & dns.flags.AA


def test_a_truncated_reply_comes_whole_over_tcp(resolver_of):
    reply = ask(resolver_of("kubeadm"), "big.example.test.")
    assert reply.flags & dns.flags.TC
    reply = ask(resolver_of("kubeadm"), "big.example.test.", tcp=True)
    assert len(values(reply)) == 119


def test_refused_is_passed_on(resolver_of):
    assert ask(resolver_of("kubeadm"), "refused.test.").rcode() == dns.rcode.REFUSED


def test_garbage_and_silence_end_in_servfail_in_time(start_resolver):
    resolver = start_resolver(corefile("errors", "forward . {upstream}"))
    with ThreadPoolExecutor() as pool:
        names = ("garbage.test.", "silent.test.")  # a client that waits for a minute hears of it
        replies = list(pool.map(lambda name: ask(resolver, name, timeout=60), names))
    assert [reply.rcode() for reply in replies] == [dns.rcode.SERVFAIL] * 2
    assert "[ERROR] plugin/errors: 2 silent.test. A: 127.0.0.1:" in resolver.text()


def test_an_upstream_that_is_not_there_fails_at_once(start_resolver):
    resolver = start_resolver(corefile("errors", f"forward . 127.0.0.1:{free_port()}"))
    assert ask(resolver, "www.example.test.").rcode() == dns.rcode.SERVFAIL
    assert "plugin/errors" in resolver.text() and "no answer within" not in resolver.text()


def test_the_next_one_is_tried(start_resolver):
    dead = f"127.0.0.1:{free_port()}"
    forward = f"forward . {dead} {{upstream}} {{\n policy sequential\n}}"
    resolver = start_resolver(corefile(forward))
    for _ in range(4):
        assert values(ask(resolver, "www.example.test.")) == ["198.51.100.80"]


def test_except(start_resolver):
    resolver = start_resolver(corefile("forward . {upstream} {\n except example.test\n}"))
    assert ask(resolver, "www.example.test.").rcode() == dns.rcode.REFUSED
    assert ask(resolver, "other.test.").rcode() == dns.rcode.NXDOMAIN


def test_max_concurrent_refuses_the_rest(start_resolver):
    resolver = start_resolver(corefile("forward . {upstream} {\n max_concurrent 2\n}"))
    replies: list[int] = []

    def one(number: int) -> None:
        reply = ask(resolver, f"silent.n{number}.test.", timeout=60)
        replies.append(reply.rcode())

    threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies.count(dns.rcode.REFUSED) == 4
    assert replies.count(dns.rcode.SERVFAIL) == 2


@pytest.mark.parametrize("option", ["force_tcp", "prefer_udp"])
def test_tcp_to_the_upstream(start_resolver, option):
    resolver = start_resolver(corefile(f"forward . {{upstream}} {{\n {option}\n}}"))
    reply = ask(resolver, "big.example.test.", payload=4096)
    assert len(values(reply)) == 119


def test_a_liar_is_not_believed(start_resolver):
    """Wrong id, wrong question, then the truth, all from the upstream's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))

        def lie() -> None:
            data, client = liar.recvfrom(4096)
            query = dns.message.from_wire(data)
            truth = dns.message.make_response(query)
            rrset = dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1")
            truth.answer.append(rrset)
            other = dns.message.make_query("bank.test.", "A")
            other.id = query.id
            false = dns.message.make_response(other)
            false.answer.append(dns.rrset.from_text("bank.test.", 60, "IN", "A", "192.0.2.66"))
            wrong = bytearray(false.to_wire())
            wrong[0] ^= 0xFF
            liar.sendto(bytes(wrong), client)
            liar.sendto(false.to_wire(), client)
            liar.sendto(b"", client)
            liar.sendto(truth.to_wire(), client)

        thread = threading.Thread(target=lie)
        thread.start()
        resolver = start_resolver(corefile(f"forward . 127.0.0.1:{liar.getsockname()[1]}"))
        assert values(ask(resolver, "good.test.")) == ["192.0.2.1"]
        thread.join()
