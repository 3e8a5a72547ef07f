"""Asking a resolver, and writing its Corefile: for the tests of transport and plugins.

dnspython does the reading; a datagram of somebody else (a port used before) is no answer.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

HERE = Path(__file__).parent
KUBERNETES = "kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n ttl 30\n}"
WEB = "web.alpha.svc.cluster.local."


def corefile(*lines: str, zone: str = ".") -> str:
    return f"{zone}:53 {{\n" + "\n".join(lines) + "\n}\n"


def ask(resolver, name, kind="A", *, tcp=False, rdclass="IN", timeout=60.0, **edns):
    """The reply; `edns` are arguments of dnspython's `use_edns`."""
    query = dns.message.make_query(name, kind, rdclass)
    if edns:
        query.use_edns(0, **edns)
    where = {"where": resolver.address, "port": resolver.port, "timeout": timeout}
    if tcp:
        reply = dns.query.tcp(query, **where)
    else:
        reply = dns.query.udp(query, **where, ignore_unexpected=True)
    assert reply.question == query.question
    return reply


def rows(reply, section="answer") -> list[str]:
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in getattr(reply, section)
        for rdata in rrset
    ]


def rcode(reply) -> str:
    return dns.rcode.to_text(reply.rcode())


def values(reply) -> list[str]:
    return [str(rdata) for rrset in reply.answer for rdata in rrset]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_for(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def fails_to_start(text: str, tmp_path: Path) -> str:
    path = tmp_path / "Corefile"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "netemu.dns", "--objects", str(HERE / "world.yaml"),
         "--corefile", str(path), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done
    return done.stderr


def counter(port: int, start: str) -> float:
    """The sum of all counters of a scrape whose line starts so."""
    text = get(port, "/metrics")[1]
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start)
    )
