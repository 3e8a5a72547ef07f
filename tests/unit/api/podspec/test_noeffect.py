"""Fields that do nothing here are named to whoever uses them."""

from __future__ import annotations

import pytest

from netemu.api.podspec.noeffect import without_effect

POD = {"containers": [{"name": "c", "image": "i"}]}
TERM = {"topologyKey": "zone", "matchLabelKeys": ["a"]}
LIST = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"hostPID": False, "hostUsers": True, "setHostnameAsFQDN": False}, []),
        ({"hostPID": True, "hostUsers": False}, ["hostPID", "hostUsers"]),
        (
            {"containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGUSR1"}}]},
            ["containers[0].lifecycle.stopSignal"],
        ),
        (
            {"affinity": {"podAffinity": {LIST: [TERM]}}},
            [f"affinity.podAffinity.{LIST}[0].matchLabelKeys"],
        ),
    ],
)
def test_each_field_is_named(spec, fields):
    found = without_effect({"spec": {"template": {"spec": {**POD, **spec}}}})
    assert found == [f"spec.template.spec.{field}: has no effect in netemu" for field in fields]


def test_every_kind_with_pods_is_looked_into():
    spec = {**POD, "hostIPC": True}
    for obj in (
        {"spec": spec},
        {"spec": {"template": {"spec": spec}}},
        {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}},
    ):
        assert len(without_effect(obj)) == 1
    assert without_effect({"data": {}}) == []
