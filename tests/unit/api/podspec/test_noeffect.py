"""Fields that do nothing here are named to whoever uses them."""

from __future__ import annotations

import pytest

from netemu.api.podspec.noeffect import without_effect

POD = {"containers": [{"name": "c", "image": "i"}]}
TERM = {"topologyKey": "zone", "matchLabelKeys": ["a"]}
LOCALHOST = {"type": "Localhost", "localhostProfile": "mine"}
LIST = "requiredDuringSchedulingIgnoredDuringExecution"


def of_container(**fields):
    return {"containers": [{"name": "c", "image": "i", **fields}]}


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
            {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 1}},
            ["securityContext.seccompProfile"],
        ),
        (
            {
                "securityContext": {
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seLinuxOptions": {"level": "s0"},
                }
            },
            ["securityContext.seLinuxOptions", "securityContext.fsGroupChangePolicy"],
        ),
        (of_container(securityContext={"procMount": "Default", "runAsUser": 1}), []),
        (
            of_container(securityContext={"procMount": "Unmasked", "appArmorProfile": LOCALHOST}),
            [
                "containers[0].securityContext.appArmorProfile",
                "containers[0].securityContext.procMount",
            ],
        ),
        (of_container(securityContext={"seccompProfile": {"type": "Unconfined"}}), []),
        (
            of_container(volumeMounts=[{"name": "v"}, {"mountPropagation": "Bidirectional"}]),
            ["containers[0].volumeMounts[1].mountPropagation"],
        ),
        (of_container(resizePolicy=[{"resourceName": "cpu"}]), ["containers[0].resizePolicy"]),
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
