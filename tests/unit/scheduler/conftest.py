"""Pods and nodes as the scheduler sees them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from netemu.scheduler.cache import SchedulerCache
from netemu.scheduler.model import Node, Pod, pod_from_object

_numbers = itertools.count(1)


def make_pod(name: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Pod:
    """`requests`, `ports` and `priority` are short for what a manifest would say."""
    number = next(_numbers)
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if requests := spec.pop("requests", None):
        container["resources"] = {"requests": requests}
    if ports := spec.pop("ports", None):
        container["ports"] = ports
    owner = spec.pop("owner", None)
    meta: dict[str, Any] = {
        "name": name or f"pod-{number}",
        "namespace": spec.pop("namespace", "default"),
        "uid": f"uid-{number}",
        "labels": labels or {},
        "creationTimestamp": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
    }
    if owner:
        reference = {"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        meta["ownerReferences"] = [reference]
    return pod_from_object({"metadata": meta, "spec": {"containers": [container], **spec}})


def make_node(name: str, labels: dict[str, str] | None = None, *pods: Pod, **more: Any) -> Node:
    """`cpu` and `memory` in the manifest's words; 110 pods unless `max_pods` says otherwise."""
    cache = SchedulerCache(more.pop("max_pods", 110))
    allocatable = {"cpu": more.pop("cpu", "4"), "memory": more.pop("memory", "8Gi")}
    taints, cordoned = more.pop("taints", []), more.pop("unschedulable", False)
    assert not more
    cache.set_node(
        {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"taints": taints, "unschedulable": cordoned},
            "status": {"allocatable": allocatable},
        }
    )
    for pod in pods:
        cache.place(pod, name)
    return cache.nodes()[0]


@pytest.fixture
def pod():
    return make_pod


@pytest.fixture
def node():
    return make_node
