"""Counting probe results, and asking over gRPC."""

from __future__ import annotations

import asyncio

import pytest

from netemu.node.kubelet.grpchealth import serving
from netemu.node.kubelet.probing import Tally


@pytest.mark.parametrize(
    ("results", "verdicts"),
    [
        ("+", [True]),
        ("-", [None]),
        ("--+", [None, None, True]),
        ("---", [None, None, False]),
        ("--+---", [None, None, True, None, None, False]),
    ],
)
def test_thresholds(results: str, verdicts: list[bool | None]) -> None:
    tally = Tally(1, 3)
    assert [tally.count(result == "+") for result in results] == verdicts


def test_several_successes_may_be_needed() -> None:
    tally = Tally(2, 1)
    assert [tally.count(each) for each in (True, True, False, True)] == [None, True, False, None]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload).to_bytes(3, "big")
    return size + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def _answer(payload: bytes) -> tuple[bool, str]:
    """Ask a server that answers every request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        preface = await reader.readexactly(24)
        assert preface.startswith(b"PRI * HTTP/2.0")
        writer.write(_frame(4, 0, 0, b"") + payload)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        return await serving(reader, writer, "svc")
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("status", "healthy"), [(b"\x08\x01", True), (b"\x08\x02", False), (b"", False)]
)
async def test_grpc_health_reads_the_status(status: bytes, healthy: bool) -> None:
    message = b"\0" + len(status).to_bytes(4, "big") + status
    answer = _frame(1, 4, 1, b"\x88") + _frame(0, 0, 1, message) + _frame(1, 5, 1, b"\x88")
    assert (await _answer(answer))[0] is healthy


async def test_grpc_without_the_service_is_a_failure() -> None:
    healthy, why = await _answer(_frame(1, 5, 1, b"\x88"))
    assert not healthy and "does not implement" in why
