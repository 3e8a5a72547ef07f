import asyncio
import gzip
import json

import pytest

from netemu.api.kinds import CONFIG_MAPS
from netemu.apiserver.http.compression import accepts_gzip
from netemu.apiserver.server import ApiServer

SPACE = "/api/v1/namespaces/default/configmaps"


async def get(server: ApiServer, path: str, *fields: str) -> tuple[dict[str, str], bytes]:
    reader, writer = await asyncio.open_unix_connection(str(server.socket), limit=1 << 20)
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    return dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:]), body


async def test_large_answers_are_compressed_for_those_who_can_read_it(server, client) -> None:
    for name in "abc":
        obj = {"metadata": {"name": name, "namespace": "default"}, "data": {"x": "y" * 100_000}}
        await client.create(CONFIG_MAPS, obj)
    plain, body = await get(server, SPACE)
    headers, packed = await get(server, SPACE, "Accept-Encoding: gzip")
    assert "content-encoding" not in plain
    assert headers["content-encoding"] == "gzip" and len(packed) < len(body) / 10
    assert json.loads(gzip.decompress(packed)) == json.loads(body)
    one, _ = await get(server, f"{SPACE}/a", "Accept-Encoding: gzip")
    assert "content-encoding" not in one  # smaller than 128 KiB


async def test_long_selectors_are_read(server) -> None:
    selector = ",".join(f"label-{i}=value" for i in range(1500))
    _, body = await get(server, f"{SPACE}?labelSelector={selector}")
    assert json.loads(body)["items"] == []


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_reads_what_a_client_accepts(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
