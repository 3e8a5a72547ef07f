"""What a node and its pods use, in the two forms that tools read: Summary and Prometheus. Pure.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/stats/v1alpha1/types.go
https://kubernetes.io/docs/reference/instrumentation/node-metrics/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netemu.api import meta
from netemu.api.kind import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSample:
    """`cpu`: nanoseconds so far; `rate`: thousandths of a core now; `memory`: bytes."""

    name: str
    started_at: float
    cpu: int
    rate: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Counters of a network interface since it was made."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSample:
    pod: Object
    containers: Sequence[ContainerSample]
    interfaces: Sequence[Interface] = ()


def parse_interfaces(text: str) -> list[Interface]:
    """`/proc/net/dev`, without the loopback; `eth0` first."""
    found = []
    for line in text.splitlines():
        name, colon, counters = line.partition(":")
        if colon and name.strip() != "lo":
            values = [int(value) for value in counters.split()]
            found.append(
                Interface(
                    name=name.strip(),
                    rx_bytes=values[0],
                    rx_errors=values[2],
                    tx_bytes=values[8],
                    tx_errors=values[10],
                )
            )
    return sorted(found, key=lambda each: (each.name != "eth0", each.name))


def compile_summary(
    node: str, interfaces: Sequence[Interface], pods: Iterable[PodSample], now: float
) -> Object:
    """A `stats/v1alpha1` Summary. A node uses what its pods use: they are all that runs on it."""
    samples = list(pods)
    every = [container for sample in samples for container in sample.containers]
    return {
        "node": {
            "nodeName": node,
            **_used(every, now),
            "network": _network(interfaces, now),
        },
        "pods": [_pod(sample, now) for sample in samples],
    }


def _pod(sample: PodSample, now: float) -> Object:
    pod = sample.pod
    status = pod.get("status") or {}
    return {
        "podRef": {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": meta.uid(pod)},
        "startTime": status.get("startTime"),
        "containers": [
            {
                "name": each.name,
                "startTime": meta.timestamp(each.started_at),
                **_used([each], now),
            }
            for each in sample.containers
        ],
        **_used(sample.containers, now),
        "network": _network(sample.interfaces, now),
    }


def _used(containers: Iterable[ContainerSample], now: float) -> Object:
    each = list(containers)
    stamp, memory = meta.timestamp(now), sum(one.memory for one in each)
    return {
        "cpu": {
            "time": stamp,
            "usageNanoCores": sum(one.rate for one in each) * 1_000_000,
            "usageCoreNanoSeconds": sum(one.cpu for one in each),
        },
        "memory": {"time": stamp, "usageBytes": memory, "workingSetBytes": memory},
    }


def _network(interfaces: Sequence[Interface], now: float) -> Object:
    listed = [
        {
            "name": each.name,
            "rxBytes": each.rx_bytes,
            "rxErrors": each.rx_errors,
            "txBytes": each.tx_bytes,
            "txErrors": each.tx_errors,
        }
        for each in interfaces
    ]
    return {"time": meta.timestamp(now), **(listed[0] if listed else {}), "interfaces": listed}


Sample = tuple[dict[str, str], float]
"""Labels and a value."""


def render_metric(name: str, kind: str, what: str, samples: Iterable[Sample]) -> str:
    """One metric in the text format of Prometheus."""
    lines = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        named = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        lines.append(f"{name}{{{named}}} {value:.9g}" if named else f"{name} {value:.9g}")
    return "\n".join(lines) + "\n"


def render_resources(pods: Sequence[PodSample]) -> str:
    """`/metrics/resource`, which metrics-server scrapes."""
    containers = [(_labels(pod, container=one.name), one) for pod in pods for one in pod.containers]
    each = [(_labels(pod), pod.containers) for pod in pods]
    return "".join(
        (
            *_resources("container", [(labels, [one]) for labels, one in containers]),
            *_resources("pod", each),
            *_resources("node", [({}, [one for _, one in containers])]),
            render_metric("resource_scrape_error", "gauge", "1 if there was an error", [({}, 0)]),
        )
    )


def _labels(sample: PodSample, **more: str) -> dict[str, str]:
    return {"namespace": meta.namespace(sample.pod), "pod": meta.name(sample.pod), **more}


def _resources(
    scope: str, each: Sequence[tuple[dict[str, str], Sequence[ContainerSample]]]
) -> Iterator[str]:
    cpu = [(labels, sum(one.cpu for one in used) / 1e9) for labels, used in each]
    memory = [(labels, float(sum(one.memory for one in used))) for labels, used in each]
    text = f"Cumulative cpu time consumed by the {scope} in core-seconds"
    yield render_metric(f"{scope}_cpu_usage_seconds_total", "counter", text, cpu)
    text = f"Current working set of the {scope} in bytes"
    yield render_metric(f"{scope}_memory_working_set_bytes", "gauge", text, memory)


def render_network(pods: Sequence[PodSample]) -> str:
    """The network counters of `/metrics/cadvisor`."""
    rows = [(_labels(pod, interface=one.name), one) for pod in pods for one in pod.interfaces]
    parts = (
        ("receive_bytes", [(labels, float(one.rx_bytes)) for labels, one in rows]),
        ("receive_errors", [(labels, float(one.rx_errors)) for labels, one in rows]),
        ("transmit_bytes", [(labels, float(one.tx_bytes)) for labels, one in rows]),
        ("transmit_errors", [(labels, float(one.tx_errors)) for labels, one in rows]),
    )
    return "".join(
        render_metric(f"container_network_{what}_total", "counter", f"Cumulative {what}", samples)
        for what, samples in parts
    )
