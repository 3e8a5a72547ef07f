"""The command line's HTTP: answers in every framing, ones that break off, and what is escaped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netemu.cli.http import Answer, BadAnswer, Connection, HungUp, target

Serve = Callable[..., Connection]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A connection to a server that answers each request with the next of `answers`, and closes."""
    path = str(tmp_path / "api.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    opened: list[Connection] = []
    threads: list[threading.Thread] = []

    def start(*answers: bytes, asked: list[bytes] | None = None) -> Connection:
        def run() -> None:
            peer, _ = listener.accept()
            with peer:
                for answer in answers:
                    request = peer.recv(1 << 16)
                    if asked is not None:
                        asked.append(request)
                    peer.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        opened.append(Connection(path, 60))
        return opened[-1]

    yield start
    for connection in opened:
        connection.close()
    for thread in threads:
        thread.join()
    listener.close()


def get(connection: Connection) -> Answer:
    return connection.ask("GET", "/", {}, None)


def test_answers_one_after_the_other(serve: Serve) -> None:
    first = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nWarning: a\r\nwarning: b\r\n\r\nabc"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nab\n\r\n2\r\ncd\r\n"
    none = b"HTTP/1.1 204 No Content\r\n\r\n"
    last = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    connection = serve(first, chunked + b"0\r\nTrailer: t\r\n\r\n", none, last)
    answer = get(connection)
    assert (answer.status, answer.reason, answer.read()) == (404, "Not Found", b"abc")
    assert answer.headers("warning") == ["a", "b"]
    assert list(get(connection).lines()) == [b"ab\n", b"cd"]
    assert get(connection).read() == b""
    assert get(connection).read() == b"until the end"


def test_a_request_in_full(serve: Serve) -> None:
    asked: list[bytes] = []
    connection = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", asked=asked)
    connection.ask("POST", "/api?x=1", {"Accept": "a/b"}, b"body").read()
    head = b"POST /api?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: a/b\r\nContent-Length: 4\r\n\r\n"
    assert asked == [head + b"body"]


def test_lines_come_as_soon_as_they_are_there(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n"
    connection = serve(head, b"2\r\nb\n\r\n0\r\n\r\n")
    lines = get(connection).lines()
    assert next(lines) == b"a\n"
    connection._socket.sendall(b"go on")
    assert list(lines) == [b"b\n"]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer(serve: Serve, answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        get(serve(answer)).read()


def test_a_server_that_hangs_up(serve: Serve) -> None:
    with pytest.raises(HungUp):
        get(serve(b""))


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Connection(str(tmp_path / "none.sock"), 1)


def test_what_may_not_stand_in_a_request_is_escaped() -> None:
    asked = {"labelSelector": "a in (b,c)", "name": "é"}
    escaped = "/api/v1/pods/a%20b%0D%0A?labelSelector=a%20in%20%28b%2Cc%29&name=%C3%A9"
    assert target("/api/v1/pods/a b\r\n", asked) == escaped
    assert target("/apis/x/y:z@w~-._%2F?a=b", {}) == "/apis/x/y:z@w~-._%2F?a=b"
