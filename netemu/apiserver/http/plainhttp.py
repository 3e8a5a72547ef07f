"""Requests that are plain enough to be read without aiohttp, and answers to them.

Pure. Plain is what clients send nearly always: HTTP/1.1, one whole request, nothing about it that
asks for more than its method and its path say. Whatever else comes is aiohttp's, mistakes too.
https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from multidict import CIMultiDict, MultiDictProxy
from yarl import URL

END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,18}) *(?=\r\n)", re.IGNORECASE)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_PLAIN = frozenset(
    (
        *("connection", "content-length", "transfer-encoding", "upgrade", "expect", "trailer"),
        *("range", "if-match", "if-none-match", "content-encoding"),
    )
)
"""Headers that make more of a request than its path says, but for `_HARMLESS` ones."""
_HARMLESS = (("connection", "keep-alive"), ("content-length", "0"))
LARGEST_HEAD = 4096


class Whole(NamedTuple):
    """One request with its body. The headers are shared: they must not be changed."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


def whole(data: bytes) -> Whole | None:
    """The request that `data` is, if it is a plain one and nothing is missing or follows."""
    end = data.find(END)
    if not 0 < end < LARGEST_HEAD:
        return None
    line, _, fields = data[: end + 4].partition(b"\r\n")
    method, space, target = line.removesuffix(b" HTTP/1.1").partition(b" ")
    if len(method) + 1 + len(target) + 9 != len(line) or not space or not line.isascii():
        return None
    body = data[end + 4 :]
    length, fields = _without_length(fields)
    if length != len(body) or b" " in target or b"#" in target:
        return None
    found = headers(fields)
    return Whole(method.decode(), target.decode(), found, body) if found is not None else None


def _without_length(fields: bytes) -> tuple[int, bytes]:
    """(the body's length, the other fields); with more than one length none is taken out."""
    found = lengths(b"\r\n" + fields)
    if len(found) != 1:
        return 0, fields
    return int(found[0]), _LENGTH.sub(b"", b"\r\n" + fields)[2:]


def lengths(head: bytes) -> list[bytes]:
    """All that a request's head says of its body's length; each line of it ends with CRLF."""
    return _LENGTH.findall(head)


@lru_cache(maxsize=128)
def headers(fields: bytes) -> CIMultiDict[str] | None:
    """The headers of a request without a body; None when there is more to it.

    A client sends the same ones each time, so most are read once. Callers must not change them.
    """
    if not fields.endswith(END) or fields.index(END) != len(fields) - len(END):
        return None
    found: CIMultiDict[str] = CIMultiDict()
    for line in fields[: -len(END)].split(b"\r\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        lower = name.lower()
        if not colon or not _NAME.fullmatch(name) or "\n" in value or "\r" in value:
            return None
        if lower in _NOT_PLAIN and (lower, value.strip().lower()) not in _HARMLESS:
            return None
        found.add(name, value.strip())
    return found if len(found.getall("Host", ())) == 1 else None


@lru_cache(maxsize=256)
def query(target: str) -> Mapping[str, str]:
    """The query of a request's target, as aiohttp reads it."""
    return MultiDictProxy(URL(target, encoded=True).query)


@lru_cache(maxsize=256)
def ok_head(second: int, length: int) -> bytes:
    """The head of an object's answer."""
    fields = (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private"))
    return head(200, "OK", fields, second, length)


def head(
    status: int, reason: str, fields: Iterable[tuple[str, str]], second: int, length: int
) -> bytes:
    """The head of an answer; `second`: what time it is."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return (
        f"HTTP/1.1 {status} {reason}\r\n{lines}"
        f"Content-Length: {length}\r\nDate: {_date(second)}\r\n\r\n"
    ).encode()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
