from typing import Any

import pytest

from kind_rules import problems, stored
from netemu.api import names, table
from netemu.api.kind import Kind
from netemu.api.kinds import ENDPOINT_SLICES, ENDPOINTS

METADATA = {"name": "e", "namespace": "default"}


def endpoint_slice(*addresses: str, kind: str = "IPv4", **more: Any) -> dict[str, Any]:
    endpoints = [{"addresses": [address]} for address in addresses]
    return {"addressType": kind, "endpoints": endpoints, "ports": [{"port": 80}], **more}


def hinted(**hints: Any) -> dict[str, Any]:
    return endpoint_slice() | {"endpoints": [{"addresses": ["10.0.0.1"], "hints": hints}]}


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        (
            endpoint_slice("fd00::1"),
            "endpoints[0].addresses[0]",
            'Invalid value: "fd00::1": must be a valid IPv4 address',
        ),
        (
            endpoint_slice("127.0.0.1"),
            "endpoints[0].addresses[0]",
            'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ),
        (
            endpoint_slice("::ffff:10.0.0.1", kind="IPv6"),
            "endpoints[0].addresses[0]",
            'Invalid value: "::ffff:10.0.0.1": must be a valid IPv6 address',
        ),
        (
            hinted(forZones=[{"name": "a"}, {"name": "a"}]),
            "endpoints[0].hints.forZones[1].name",
            'Duplicate value: "a"',
        ),
        (
            hinted(forZones=[{"name": f"z{n}"} for n in range(9)]),
            "endpoints[0].hints.forZones",
            "Too many: 9: must have at most 8 items",
        ),
        (
            hinted(forNodes=[{"name": "A B"}]),
            "endpoints[0].hints.forNodes[0].name",
            f'Invalid value: "A B": {names.dns1123_subdomain("A B")[0]}',
        ),
        (
            {**endpoint_slice(), "endpoints": [{"addresses": []}]},
            "endpoints[0].addresses",
            "Required value: must contain at least 1 address",
        ),
        (
            endpoint_slice("10.0.0.1", ports=[{"port": 1}, {"port": 2}]),
            "ports[1].name",
            'Duplicate value: ""',
        ),
        (endpoint_slice("a", kind=""), "addressType", "Required value"),
        (
            endpoint_slice("a", kind="IPX"),
            "addressType",
            'Unsupported value: "IPX": supported values: "FQDN", "IPv4", "IPv6"',
        ),
        (
            endpoint_slice(*[f"10.0.{n // 256}.{n % 256}" for n in range(1001)]),
            "endpoints",
            "Too many: 1001: must have at most 1000 items",
        ),
    ],
)
def test_bad_slices(obj: dict[str, Any], field: str, message: str) -> None:
    assert (field, message) in problems(ENDPOINT_SLICES, obj)


def test_good_slices() -> None:
    assert problems(ENDPOINT_SLICES, endpoint_slice("10.0.0.1", "10.0.0.2")) == []
    assert problems(ENDPOINT_SLICES, endpoint_slice("fd00::1", kind="IPv6")) == []
    assert problems(ENDPOINT_SLICES, endpoint_slice("a.example", kind="FQDN")) == []


def test_the_address_type_stays() -> None:
    old = stored(ENDPOINT_SLICES, endpoint_slice("10.0.0.1"))
    found = problems(ENDPOINT_SLICES, endpoint_slice("fd00::1", kind="IPv6"), old)
    assert found == [("addressType", 'Invalid value: "IPv6": field is immutable')]


def test_hand_written_endpoints() -> None:
    subset = {"addresses": [{"ip": "172.18.0.9"}], "ports": [{"name": "web", "port": 80}]}
    assert problems(ENDPOINTS, {"subsets": [subset]}) == []
    assert problems(ENDPOINTS, {"subsets": [{"ports": [{"port": 80}]}]}) == [
        ("subsets[0]", "Required value: must specify `addresses` or `notReadyAddresses`")
    ]
    two = {"addresses": [{"ip": "169.254.1.1"}], "ports": [{"port": 80}, {"port": 81}]}
    fields = {field for field, _ in problems(ENDPOINTS, {"subsets": [two]})}
    assert fields == {
        "subsets[0].addresses[0].ip",
        "subsets[0].ports[0].name",
        "subsets[0].ports[1].name",
    }


def _cells(kind: Kind, obj: dict[str, Any]) -> list[Any]:
    made = {"metadata": METADATA, **obj}
    found: list[Any] = table.render(kind, [made], now=0)["rows"][0]["cells"]
    return found


def test_cells() -> None:
    ips = [f"10.0.0.{number}" for number in range(1, 6)]
    shown = _cells(ENDPOINT_SLICES, endpoint_slice(*ips))
    assert shown[1:4] == ["IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more..."]
    assert _cells(ENDPOINT_SLICES, endpoint_slice(ports=[]))[2:4] == ["<unset>", "<unset>"]
    subset = {"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": 80}]}
    shown = _cells(ENDPOINTS, {"subsets": [subset]})
    assert shown[1] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert _cells(ENDPOINTS, {})[1] == "<none>"
    assert (
        _cells(ENDPOINTS, {"subsets": [{"addresses": [{"ip": "::1"}], "ports": [{"port": 1}]}]})[1]
        == "[::1]:1"
    )
