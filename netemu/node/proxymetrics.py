"""What a proxy tells on its metrics port: its mode, and how it fares.

    curl http://127.0.0.1:10249/proxyMode     on the node, as the documentation has it

https://kubernetes.io/docs/tutorials/services/source-ip/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netemu.node.healthcheck import Answer
from netemu.proxy.endpoints import Service
from netemu.proxy.model import Family

METRICS_PORT = 10249
_LAST = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
_NONE_HERE = "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


def page(
    path: str, *, mode: str, services: Mapping[Family, Iterable[Service]], updated: float
) -> Answer:
    """`services` are those in the node's rules, by IP family; `updated`: when they last came in."""
    pages = {"/proxyMode": mode, "/healthz": "ok"}
    if path == "/metrics":
        return Answer(200, _metrics(services, updated), _TEXT)
    if path in pages:
        return Answer(200, pages[path], {"Content-Type": "text/plain; charset=utf-8"})
    return Answer(404, "404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})


def _metrics(services: Mapping[Family, Iterable[Service]], updated: float) -> str:
    stamps, counts = [], []
    for family, ports in sorted(services.items()):
        label = f'ip_family="IPv{family}"'
        stamps.append(f"{_LAST}{{{label}}} {updated!r}")
        for policy, count in none_here(ports).items():
            counts.append(f'{_NONE_HERE}{{{label},traffic_policy="{policy}"}} {count}')
    lines = [
        f"# HELP {_LAST} [ALPHA] The last time proxy rules were successfully synced",
        f"# TYPE {_LAST} gauge",
        *stamps,
        f"# HELP {_NONE_HERE} [ALPHA] Number of services with a Local traffic policy and no"
        " endpoints",
        f"# TYPE {_NONE_HERE} gauge",
        *counts,
    ]
    return "\n".join(lines) + "\n"


def none_here(services: Iterable[Service]) -> dict[str, int]:
    """How many ports have endpoints, but for Local policies none on this node."""
    known = [service for service in services if service.endpoints.exists]
    return {
        "internal": sum(not service.internal for service in known),
        "external": sum(service.port.is_external and not service.external for service in known),
    }
