"""forward: the options that choose among upstreams and how to speak to them."""

from __future__ import annotations

import socket
import time

import pytest

from scenarios.dns.questions import (
    ask,
    corefile,
    counter,
    fails_to_start,
    free_port,
    rcode,
    values,
    wait_for,
)

NAME = "www.example.test."


def spread(servers, name: str = NAME) -> list[int]:
    return [server.counts.get((name, "A"), 0) for server in servers]


def dead() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("sequential", [20, 0]), ("round_robin", [10, 10])],
)
def test_policy(start_resolver, two, policy, expected):
    servers, words = two
    resolver = start_resolver(corefile(f"forward . {words} {{\n policy {policy}\n}}"))
    for _ in range(20):
        ask(resolver, NAME)
    assert spread(servers) == expected


def test_random_is_the_default(start_resolver, two):
    servers, words = two
    resolver = start_resolver(corefile(f"forward . {words}"))
    for _ in range(60):
        ask(resolver, NAME)
    assert min(spread(servers)) > 10
    assert sum(spread(servers)) == 60


def test_from_and_two_of_them(start_resolver, two):
    (one, other), words = two
    first, second = words.split()
    resolver = start_resolver(corefile(f"forward a.test {first}", f"forward b.test {second}"))
    for name in ("x.a.test.", "x.b.test."):
        assert rcode(ask(resolver, name)) == "NXDOMAIN"
    assert (spread([one, other], "x.a.test."), spread([one, other], "x.b.test.")) == (
        [1, 0],
        [0, 1],
    )
    assert rcode(ask(resolver, "x.c.test.")) == "REFUSED"


def test_a_file_of_name_servers(start_resolver, tmp_path, upstream):
    (tmp_path / "resolv.conf").write_text("# none of these\nsearch a.test\n")
    text = corefile(f"forward . {tmp_path / 'resolv.conf'}")
    resolver = start_resolver(text)
    assert rcode(ask(resolver, NAME)) == "SERVFAIL"


def test_etc_resolv_conf_is_the_one_of_the_command_line(start_resolver, tmp_path):
    """Port 53 cannot be had here: that the address of the file is tried is what shows."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.99.0.7\n")
    text = corefile("errors", "forward . /etc/resolv.conf")
    resolver = start_resolver(text, "--resolv-conf", str(tmp_path / "resolv.conf"))
    assert rcode(ask(resolver, NAME)) == "SERVFAIL"
    assert "127.99.0.7:53" in resolver.text()


class TestHealth:
    def test_an_upstream_that_is_down_is_left_out_and_comes_back(self, start_resolver, two):
        """`. NS` twice a second by default; here more often, with another name, without RD."""
        (good, _), words = two
        port = free_port()
        option = "health_check 50ms no_rec domain probe.test\n max_fails 1\n policy sequential"
        first = words.split()[0]
        resolver = start_resolver(corefile(f"forward . 127.0.0.1:{port} {first} {{\n {option}\n}}"))
        assert values(ask(resolver, NAME)) == ["198.51.100.80"]
        seen = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", port))
            back.settimeout(60)
            data, client = back.recvfrom(4096)
            seen = data
            wait_for(lambda: ask(resolver, NAME) and spread([good])[0] >= 3)
            back.sendto(data[:2] + b"\x85\x80" + data[4:], client)
            back.settimeout(0.05)

            def asked_again() -> bool:
                ask_without_waiting(resolver, NAME)
                try:
                    return b"example" in back.recv(4096)
                except TimeoutError:
                    return False

            wait_for(asked_again)
        assert seen[2] & 1 == 0, "no_rec"
        assert b"\5probe\4test\0\0\2" in seen

    def test_max_fails_0_never_leaves_one_out(self, start_resolver):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.settimeout(5)
            text = f"forward . 127.0.0.1:{silent.getsockname()[1]} {{\n max_fails 0\n}}"
            resolver = start_resolver(corefile(text))
            for number in range(4):
                ask_without_waiting(resolver, f"n{number}.test.")
                assert b"\4test" in silent.recv(4096)

    @pytest.mark.parametrize("fast", [False, True])
    def test_all_are_down(self, start_resolver, fast):
        port = free_port()
        options = ["health_check 20ms", "max_fails 1"]
        options += ["failfast_all_unhealthy_upstreams"] * fast
        lines = "\n".join(options)
        resolver = start_resolver(
            corefile(
                "errors", f"prometheus 127.0.0.1:{port}", f"forward . {dead()} {{\n{lines}\n}}"
            )
        )

        def broken() -> bool:
            assert rcode(ask(resolver, NAME)) == "SERVFAIL"
            return counter(port, "coredns_forward_healthcheck_broken_total") > 0

        wait_for(broken)
        assert ("no healthy proxies" in resolver.text()) == fast


def ask_without_waiting(resolver, name: str) -> None:
    import dns.message

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(dns.message.make_query(name, "A").to_wire(), (resolver.address, resolver.port))


def test_max_connect_attempts(start_resolver, two):
    servers, words = two
    option = "max_connect_attempts 1\n policy sequential\n max_fails 0"
    resolver = start_resolver(corefile(f"forward . {dead()} {words} {{\n {option}\n}}"))
    assert rcode(ask(resolver, NAME)) == "SERVFAIL"
    assert spread(servers) == [0, 0]


@pytest.mark.parametrize(
    ("option", "streams"),
    [("force_tcp", 3), ("", 0), ("prefer_udp", 0), ("prefer_udp\n force_tcp", 3)],
)
def test_how_the_upstream_is_asked(start_resolver, make_upstream, option, streams):
    server = make_upstream()
    text = corefile(f"forward . 127.0.0.1:{server.port} {{\n {option}\n}}")
    resolver = start_resolver(text)
    for _ in range(3):
        assert values(ask(resolver, NAME)) == ["198.51.100.80"]
    assert server.streams == streams
    ask(resolver, NAME, tcp=True)
    assert server.streams == streams + (1 if option != "prefer_udp" else 0)


@pytest.mark.parametrize(
    ("option", "connections"), [("", 1), ("expire 1ms", 4), ("max_idle_conns 1", 1)]
)
def test_connections_are_kept(start_resolver, make_upstream, option, connections):
    server = make_upstream()
    made = []
    accept = server.tcp.verify_request
    server.tcp.verify_request = lambda *words: made.append(words) is None and accept(*words)
    lines = f"force_tcp\n {option}"
    resolver = start_resolver(corefile(f"forward . 127.0.0.1:{server.port} {{\n {lines}\n}}"))
    for number in range(4):
        ask(resolver, NAME)
        started = time.monotonic()
        wait_for(lambda: time.monotonic() > started + 0.005)  # noqa: B023
        assert number < 4
    assert len(made) == connections


class TestAnotherAnswer:
    """One server refuses or fails, the other knows."""

    def test_failover(self, start_resolver, two):
        servers, words = two
        option = "policy sequential\n failover REFUSED SERVFAIL"
        resolver = start_resolver(corefile(f"forward . {words} {{\n {option}\n}}"))
        for name in ("refused.test.", "servfail.test."):
            ask(resolver, name)
            assert spread(servers, name) == [1, 1]
        ask(resolver, "absent.test.")
        assert spread(servers, "absent.test.") == [1, 0]

    @pytest.mark.parametrize(
        ("option", "name", "asked"),
        [
            ("next NXDOMAIN REFUSED", "absent.test.", [1, 1]),
            ("next NXDOMAIN REFUSED", "refused.test.", [1, 1]),
            ("next NXDOMAIN", NAME, [1, 0]),
            ("next_on_nodata", "flags.test.", [1, 0]),
            ("", "absent.test.", [1, 0]),
        ],
    )
    def test_next(self, start_resolver, two, option, name, asked):
        servers, words = two
        first, second = words.split()
        resolver = start_resolver(
            corefile(f"forward . {first} {{\n {option}\n}}", f"forward . {second}")
        )
        ask(resolver, name)
        assert spread(servers, name) == asked

    def test_next_on_nodata(self, start_resolver, two):
        servers, words = two
        first, second = words.split()
        resolver = start_resolver(
            corefile(f"forward . {first} {{\n next_on_nodata\n}}", f"forward . {second}")
        )
        ask(resolver, "version.bind.", "A")
        assert spread(servers, "version.bind.") == [1, 1]

    def test_next_without_another_forward_changes_nothing(self, start_resolver):
        text = corefile("forward . {upstream} {\n next NXDOMAIN\n}", "whoami")
        assert rcode(ask(start_resolver(text), "absent.test.")) == "NXDOMAIN"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"forward . {' '.join(f'192.0.2.{n}' for n in range(1, 17))}", "more than 15 upstreams"),
        ("forward . https://192.0.2.1", "https:// is not a protocol of forward"),
        ("forward . 192.0.2.1 {\n failover NOERROR\n}", "NOERROR is no failure"),
        ("forward . 192.0.2.1 {\n policy best\n}", "is not one of random"),
        ("forward . 192.0.2.1 {\n tls /nowhere.pem\n}", "/nowhere.pem"),
        ("forward . 192.0.2.1:99999", "is neither an address"),
        ("forward .", "needs a zone and at least one upstream"),
    ],
)
def test_mistakes(tmp_path, words, said):
    assert said in fails_to_start(corefile(words), tmp_path)
