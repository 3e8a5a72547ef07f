"""Reads the cases, asks a server, compares: with dnspython only, so that no mistake is shared.

Also a program, to run from a pod of a cluster in which world.yaml was applied:

    python tests/scenarios/dns/blackbox.py 10.96.0.10 [cases/clusterip.txt …]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype

HERE = Path(__file__).parent
CLUSTER_ZONES = ("cluster.local.", "clusterset.local.")


@dataclass
class Case:
    source: str
    title: str
    name: str
    rdtype: str
    options: dict[str, str] = field(default_factory=dict)
    rcode: str = "NOERROR"
    negative: bool = False
    flags: list[str] = field(default_factory=list)
    answer: set[str] = field(default_factory=set)
    additional: set[str] = field(default_factory=set)
    ttl: str = "30"

    def __str__(self) -> str:
        return f"{self.source}:{self.name}-{self.rdtype}"


@dataclass
class CaseFile:
    path: Path
    corefile: str
    cases: list[Case]


def expand(word: str) -> str:
    return f"{word[:-1]}.svc.cluster.local." if word.endswith("~") else word


def read(path: Path) -> CaseFile:
    corefile, cases, title = "kubeadm", [], ""
    case: Case | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark, _, rest = line.partition(" ")
        words = [expand(word) for word in rest.split()]
        if line.startswith("corefile:"):
            corefile = words[0]
        elif mark == "#":
            title = rest
        elif mark == "?":
            options = dict(word.partition("=")[::2] for word in words[2:])
            case = Case(f"{path.stem}:{number}", title, words[0], words[1], options)
            cases.append(case)
        elif not line.strip():
            case = None
        elif case is None:
            raise ValueError(f"{path}:{number}: {line!r} belongs to no case")
        elif mark == "=":
            case.answer.add(record(case.name, words))
        elif mark == "+":
            case.additional.add(record(case.name, words))
        elif mark == "ttl":
            case.ttl = words[0]
        else:
            case.negative = mark in ("NODATA", "NXDOMAIN")
            case.rcode = "NOERROR" if mark == "NODATA" else mark
            case.flags = words
    return CaseFile(path, corefile, cases)


def record(name: str, words: list[str]) -> str:
    owned = words if words[0].endswith(".") else [name, *words]
    return " ".join(owned)


def files() -> list[CaseFile]:
    return [read(path) for path in sorted((HERE / "cases").glob("*.txt"))]


def ask(case: Case, server: str, port: int, *, tcp: bool, timeout: float = 60.0):
    rdclass = dns.rdataclass.from_text(case.options.get("class", "IN"))
    query = dns.message.make_query(case.name, case.rdtype, rdclass)
    if "edns" in case.options or "do" in case.options:
        size = int(case.options.get("edns", "1232"))
        query.use_edns(0, payload=size, ednsflags=dns.flags.DO if "do" in case.options else 0)
    if tcp or "tcp" in case.options:
        reply = dns.query.tcp(query, server, port=port, timeout=timeout)
    else:
        reply = dns.query.udp(query, server, port=port, timeout=timeout, ignore_unexpected=True)
    assert reply.question == query.question
    assert reply.question[0].name.labels == query.question[0].name.labels, "the spelling changed"
    return reply


def texts(section, *, star_serial: bool = True) -> tuple[set[str], set[int]]:
    found, ttls = set(), set()
    for rrset in section:
        for rdata in rrset:
            text = rdata.to_text()
            if rrset.rdtype == dns.rdatatype.SOA and star_serial:
                words = text.split()
                words[2] = "*"
                text = " ".join(words)
            found.add(f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {text}")
            ttls.add(rrset.ttl)
    return found, ttls


def differences(case: Case, reply) -> list[str]:
    """All in which the reply is not what the case says."""
    wrong = []
    rcode = dns.rcode.to_text(reply.rcode())
    if rcode != case.rcode:
        wrong.append(f"rcode {rcode}, expected {case.rcode}")
    for flag in case.flags:
        bit = getattr(dns.flags, flag.lstrip("-").upper())
        if bool(reply.flags & bit) != (not flag.startswith("-")):
            wrong.append(f"flags {dns.flags.to_text(reply.flags)}, expected {flag}")
    answer, ttls = texts(reply.answer)
    if answer != case.answer:
        wrong.append(f"answer {sorted(answer)}, expected {sorted(case.answer)}")
    additional, _ = texts(reply.additional)
    if case.additional - additional or (additional and not case.additional):
        wrong.append(f"additional {sorted(additional)}, expected {sorted(case.additional)}")
    cached = case.name.lower().endswith(".arpa.")  # the reverse zones are in the cache
    if case.ttl != "*" and not cached and ttls - {int(case.ttl)}:
        wrong.append(f"TTLs {ttls}, expected {case.ttl}")
    zone = next((z for z in CLUSTER_ZONES if case.name.lower().endswith(z)), None)
    if case.negative and zone is not None:
        wrong += soa_differences(reply, zone)
    return wrong


def soa_differences(reply, zone: str) -> list[str]:
    authority, _ = texts(reply.authority)
    if len(authority) != 1:
        return [f"authority {sorted(authority)}, expected one SOA"]
    words = next(iter(authority)).split()
    expected = ["SOA", f"ns.dns.{zone}", f"hostmaster.{zone}", "*", "7200", "1800", "86400"]
    if words[0].lower() != zone or [word.lower() for word in words[1:8]] != [
        word.lower() for word in expected
    ]:
        return [f"authority {words}, expected the SOA of {zone}"]
    return []


def main(argv: list[str]) -> int:
    server, *paths = argv
    failed = asked = 0
    for file in [read(Path(path)) for path in paths] or files():
        if file.corefile != "kubeadm" and not paths:
            continue
        for case in file.cases:
            if case.name.endswith("example.test.") or "outside" in case.name:
                continue  # these need the tests' own upstream
            for tcp in (False, True):
                asked += 1
                wrong = differences(case, ask(case, server, 53, tcp=tcp))
                failed += bool(wrong)
                for line in wrong:
                    print(f"{case}: {line}")
    print(f"{asked} asked, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
