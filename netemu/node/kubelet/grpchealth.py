"""A gRPC health check with nothing but the bytes it takes.

One request on HTTP/2 with prior knowledge: headers as HPACK literals, a length-prefixed protobuf
message. Of the answer only DATA frames matter: HealthCheckResponse is the field 1, SERVING is 1.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md, RFC 9113, RFC 7541
"""

from __future__ import annotations

import asyncio
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def serving(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str
) -> tuple[bool, str]:
    """Ask on a fresh connection; whether the service is SERVING, else why not."""
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _ask(service))
    answer = b""
    while True:
        try:
            head = await reader.readexactly(9)
            size = int.from_bytes(head[:3], "big")
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            payload = await reader.readexactly(size)
        except asyncio.IncompleteReadError:
            return False, "error: health rpc failed: connection closed"
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RESET, _GOAWAY):
            return False, "error: health rpc failed: the server ended the stream"
        elif stream == 1:
            answer += payload if kind == _DATA else b""
            if flags & _END_STREAM:
                return _verdict(answer)


def _verdict(answer: bytes) -> tuple[bool, str]:
    if len(answer) < 5:
        return False, "error: this server does not implement the grpc health protocol"
    message = answer[5:]
    status = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
    if status == 1:
        return True, ""
    return False, f"service unhealthy (responded with {_STATUS.get(status, str(status))!r})"


def _ask(service: str) -> bytes:
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    headers = b"".join(
        _literal(field, value)
        for field, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("user-agent", "kube-probe"),
            ("te", "trailers"),
        )
    )
    body = b"\0" + struct.pack("!I", len(message)) + message
    return _frame(_HEADERS, _END_HEADERS, 1, headers) + _frame(_DATA, _END_STREAM, 1, body)


def _literal(name: str, value: str) -> bytes:
    """A header that is neither indexed nor compressed; both parts are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )
