"""What a pod asks for, in whole numbers."""

from __future__ import annotations

import pytest

from netemu.api.amounts import amount, pod_amounts


@pytest.mark.parametrize(
    ("resource", "text", "expected"),
    [
        ("cpu", "250m", 250),
        ("cpu", "1.5", 1500),
        ("cpu", "100u", 1),
        ("memory", "1Gi", 1 << 30),
        ("memory", "1.5k", 1500),
        ("pods", "110", 110),
    ],
)
def test_amount(resource, text, expected):
    assert amount(resource, text) == expected


def container(cpu, **more):
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container("100m"), container("200m")]}, {"cpu": 300}),
        ({"containers": [container("100m")], "initContainers": [container("1")]}, {"cpu": 1000}),
        (
            {
                "containers": [container("100m")],
                "initContainers": [container("300m", restartPolicy="Always"), container("200m")],
            },
            {"cpu": 500},
        ),
        ({"containers": [container("100m")], "overhead": {"cpu": "10m"}}, {"cpu": 110}),
        ({"containers": [{"name": "c"}]}, {}),
    ],
)
def test_pod_amounts(spec, expected):
    assert pod_amounts(spec, "requests") == expected
