"""`netemu dns serve`, `query` and `explain`, in front of a resolver on loopback."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netemu.api.kinds import SERVICES

Run = Callable[..., Any]
WORLD = Path(__file__).parents[2] / "scenarios/dns/world.yaml"


COREFILE = ".:53 {\n errors\n kubernetes cluster.local {\n  pods insecure\n }\n}\n"
"""Nothing is forwarded: tests ask nobody outside."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ADDR:PORT of `netemu dns serve`."""
    netemu = Path(sys.executable).with_name("netemu")
    corefile = tmp_path_factory.mktemp("dns") / "Corefile"
    corefile.write_text(COREFILE)
    where = ["--objects", WORLD, "--corefile", corefile, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [netemu, "dns", "serve", *where],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    found = re.search(r"serving DNS on (\S+)", line)
    assert found, line
    yield found[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    drain.join()
    process.stderr.close()


def test_query_shows_each_step(netemu: Run, server: str) -> None:
    done = netemu("dns", "query", "web.alpha", "-s", server)
    assert done.code == 0
    lines = [re.sub(r" +[\d.]+ ms", "", line) for line in done.out.splitlines()]
    assert lines == [
        "glibc: nameserver 127.0.0.1 search default.svc.cluster.local svc.cluster.local"
        " cluster.local ndots:5",
        "web.alpha.default.svc.cluster.local. A     NXDOMAIN",
        "web.alpha.default.svc.cluster.local. AAAA  NXDOMAIN",
        "  NXDOMAIN; next name",
        "web.alpha.svc.cluster.local.         A     found  10.96.10.1",
        "web.alpha.svc.cluster.local.         AAAA  NODATA",
        "  has an address",
        "4 queries, found",
    ]


def test_query_of_a_type_over_tcp_as_json(netemu: Run, server: str) -> None:
    words = ("dns", "query", "_http._tcp.web", "SRV", "-s", server, "-n", "alpha", "--tcp")
    done = netemu(*words, "--resolver", "go", "-o", "json")
    found = json.loads(done.out)
    assert found["found"] == ["0 100 80 web.alpha.svc.cluster.local."]
    assert found["queries"] == 1
    assert found["steps"][0]["outcomes"][0]["verdict"] == "found"


def test_query_of_nothing_fails(netemu: Run, server: str) -> None:
    done = netemu(
        "dns", "query", "absent.alpha.svc.cluster.local.", "-s", server, "--resolver", "musl"
    )
    assert done.code == 1
    assert "2 queries, EAI_NONAME" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("web",), "say where to ask: --from POD, or -s ADDR"),
        (("web", "NOPE", "-s", "127.0.0.1"), "'NOPE' is not a record type"),
        (("a..b", "-s", "127.0.0.1"), "a label must have 1 to 63 octets"),
        (("web", "-s", "nonsense"), "nameserver"),
    ],
)
def test_usage(netemu: Run, words: tuple[str, ...], said: str) -> None:
    done = netemu("dns", "query", *words)
    assert done.code == 2
    assert said in done.err


def test_explain_from_the_cluster_and_from_files(netemu: Run, cluster: Any, space: str) -> None:
    spec = {"ports": [{"port": 80}]}
    cluster.create(SERVICES, {"metadata": {"name": "web", "namespace": space}, "spec": spec})
    done = netemu("dns", "explain", f"web.{space}.svc.cluster.local.")
    assert done.code == 0
    assert f"Service {space}/web makes it exist, with its ClusterIP" in done.out
    done = netemu("dns", "explain", f"wep.{space}")
    assert done.code == 1
    assert 'did you mean "web"?' in done.out
    done = netemu("dns", "explain", "db-3.db.alpha", "--objects", str(WORLD))
    assert done.code == 1
    assert "10.244.2.4 (db-3) is not ready" in done.out
    assert netemu("dns", "explain", "a..b").code == 2


def test_serve_without_objects(netemu: Run) -> None:
    assert netemu("dns", "serve").code == 2
    assert netemu("dns", "serve", "--objects", str(WORLD), "--listen", "x").code == 2


def test_serve_with_a_corefile_that_has_a_mistake(netemu: Run, tmp_path: Path) -> None:
    (tmp_path / "Corefile").write_text(".:53 {\n  nonsense\n}\n")
    where = ("--corefile", str(tmp_path / "Corefile"), "--listen", "127.0.0.1:0")
    done = netemu("dns", "serve", "--objects", str(WORLD), *where)
    assert (done.code, done.out) == (2, "")
    assert "Corefile:2: nonsense: there is no such plugin" in done.err


def test_an_address_is_its_pointer(netemu: Run, server: str) -> None:
    done = netemu("dns", "query", "10.96.10.1", "-s", server, "-o", "json")
    (step,) = json.loads(done.out)["steps"]
    assert step["name"] == "1.10.96.10.in-addr.arpa."
    assert step["outcomes"][0]["type"] == "PTR"
    done = netemu("dns", "explain", "10.96.10.1", "--objects", str(WORLD))
    assert done.code == 0
    assert "Service alpha/web" in done.out
    assert netemu("dns", "explain", "fd00:10:96::4", "--objects", str(WORLD)).code == 0
