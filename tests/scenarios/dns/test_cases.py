"""Every row of the checklist, asked over UDP and TCP; see cases/README.md."""

from __future__ import annotations

import pytest

from scenarios.dns import blackbox

CASES = [(file, case) for file in blackbox.files() for case in file.cases]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("file", "case"), CASES, ids=[str(case) for _, case in CASES])
def test_case(resolver_of, file, case, tcp):
    resolver = resolver_of(file.corefile)
    for _ in range(2):  # the second answer may come from what was kept of the first
        reply = blackbox.ask(case, resolver.address, resolver.port, tcp=tcp)
        assert blackbox.differences(case, reply) == [], reply
