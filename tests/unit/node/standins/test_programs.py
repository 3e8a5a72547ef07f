from __future__ import annotations

import json
from typing import Any

import pytest

from netemu.node.standins.http import Request, _chunked, _decode, _looks_like_http
from netemu.node.standins.programs import PROGRAMS, answer_datagram

IDENTITY: dict[str, Any] = {
    "pod": "web-0",
    "namespace": "default",
    "node": "node-1",
    "ip": "10.244.0.2",
    "container": "c",
    "image": "nginx",
    "env": {"SERVE_PORT_8080": "mine"},
}


def request(target: str, **headers: str) -> Request:
    made = Request("GET", target, headers, 8080)
    made.client = ("10.244.1.9", 4321)
    return made


@pytest.mark.parametrize(
    ("program", "target", "status", "body"),
    [
        ("", "/hostname", 200, "web-0"),
        ("", "/status/503", 503, "503\n"),
        ("serve-hostname", "/", 200, "web-0"),
        ("netexec", "/hostName", 200, "web-0"),
        ("netexec", "/clientip", 200, "10.244.1.9:4321"),
        ("netexec", "/echo?msg=a%20b+c&code=418", 418, "a b c"),
        ("netexec", "/header?key=X-Y", 200, "z"),
        ("netexec", "/nosuch", 404, "404 page not found\n"),
        ("porter", "/", 200, "mine"),
    ],
)
def test_answers(program: str, target: str, status: int, body: str) -> None:
    answer = PROGRAMS[program](IDENTITY, request(target, **{"x-y": "z"}))
    assert (answer.status, answer.body.decode()) == (status, body)


def test_it_says_which_pod_it_is_in_json_too() -> None:
    answer = PROGRAMS[""](IDENTITY, request("/", accept="application/json"))
    assert json.loads(answer.body)["pod"] == "web-0"


@pytest.mark.parametrize(
    ("program", "data", "answer"),
    [
        ("", b"ping", b"ping"),
        ("netexec", b"hostname\n", b"web-0"),
        ("netexec", b"echo hi there", b"hi there"),
        ("netexec", b"clientip", b"[fd00::9]:99"),
        ("netexec", b"X", None),
        ("netexec", b"", None),
        ("serve-hostname", b"x", b"web-0"),
    ],
)
def test_datagrams(program: str, data: bytes, answer: bytes | None) -> None:
    assert answer_datagram(program, IDENTITY, data, ("fd00::9", 99)) == answer


@pytest.mark.parametrize(
    ("data", "is_http"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"GE", True),
        (b"hello\n", False),
        (b"HELLO\n", False),
        (b"\x16\x03\x01", False),
    ],
)
def test_what_looks_like_http(data: bytes, is_http: bool) -> None:
    assert _looks_like_http(data) is is_http


def test_chunked_bodies() -> None:
    assert _chunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nnext") == (b"abcde", b"next")
    assert _chunked(b"3\r\nab") is None


def test_percent_decoding_survives_nonsense() -> None:
    assert _decode("%41%zz+%c3%a4") == "A%zz \u00e4"
