"""Which bytes are one plain request, and which are left to aiohttp."""

import pytest

from netemu.apiserver.http.plainhttp import query, whole


def request(*fields: str, line: str = "POST /api/v1/x?a=b HTTP/1.1", body: str = "") -> bytes:
    return "\r\n".join([line, "Host: x", *fields, "", body]).encode()


def test_a_whole_request() -> None:
    found = whole(request("Accept: */*", "content-length: 2", "User-Agent: me", body="{}"))
    assert found is not None
    assert found[:2] == ("POST", "/api/v1/x?a=b") and found.body == b"{}"
    assert dict(found.headers) == {"Host": "x", "Accept": "*/*", "User-Agent": "me"}


def test_a_request_without_a_body() -> None:
    found = whole(request(line="DELETE /api/v1/x HTTP/1.1"))
    assert found is not None and found.body == b""
    assert whole(request("Content-Length: 0")) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"POST /api HTTP/1.1\r\n\r\n",  # no host
        request("Content-Length: 3", body="{}"),
        request("Content-Length: 1", body="{}"),
        request(body="{}"),
        request("Content-Length: 2", "Content-Length: 2", body="{}"),
        request("Content-Length: 2", "Content-Length: 0", body="{}"),
        request("Content-Length: 0", "Content-Length: 2", body="{}"),
        request("Content-Length: +2", body="{}"),
        request("Content-Length: 2, 2", body="{}"),
        request("Content-Length:\t2", body="{}"),
        request("Content-Length : 2", body="{}"),
        request("Content-Length: 2", " folded", body="{}"),
        request("Content-Length: 2", "Transfer-Encoding: chunked", body="{}"),
        request("Content-Length: 2", "Expect: 100-continue", body="{}"),
        request("Content-Length: 2", "Content-Encoding: gzip", body="{}"),
        request("Content-Length: 2", "Connection: close", body="{}"),
        request("Content-Length: 2", "Upgrade: x", body="{}"),
        request("Content-Length: 2", "Host: y", body="{}"),
        request("Content-Length: 2", "X: a\nContent-Length: 9", body="{}"),
        request("Content-Length: 2", f"X: {'x' * 5000}", body="{}"),
        request(line="POST /api HTTP/1.0"),
        request(line="POST /api"),
        request(line="POST  /api HTTP/1.1"),
        request(line="POST /a b HTTP/1.1"),
        request(line="POST /a#b HTTP/1.1"),
        request(line="POST /\u00e4 HTTP/1.1"),
    ],
)
def test_what_is_not_plain(data: bytes) -> None:
    assert whole(data) is None


def test_a_query_is_decoded() -> None:
    assert dict(query("/x?a=b%20c+d&e=&a=f")) == {"a": "b c d", "e": ""}
    assert query("/x?a=b%20c&a=f").getall("a") == ["b c", "f"]
