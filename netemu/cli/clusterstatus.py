"""What `netemu status` shows: daemon, nodes, resolver, and how far each data plane has come."""

from __future__ import annotations

import json
from typing import Any

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.counts import in_words
from netemu.cli.failures import ClusterNotRunning
from netemu.cli.settle import barrier
from netemu.cli.tabs import align
from netemu.cluster.status import ClusterStatus
from netemu.cluster.status import status as cluster_status
from netemu.config import ClusterConfig
from netemu.errors import ApiError

BARRIER_SECONDS = 2.0


def print_status(name: str, form: str) -> int:
    """0 when the daemon runs, all nodes are Ready and all data planes are up to date."""
    found = cluster_status(name)
    document = _document(found)
    if form == "json":
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    return 0 if document["ready"] else 1


def _document(found: ClusterStatus) -> dict[str, Any]:
    config = found.config
    document: dict[str, Any] = {
        "name": config.name,
        "ready": False,
        "daemon": found.daemon or None,
        "proxyMode": ", ".join(_modes(config)),
        "podSubnets": list(config.pod_subnets),
        "serviceSubnets": list(config.service_subnets),
        "apiSocket": str(config.api_socket),
        "owned": found.owned,
        "nodes": [{"name": node.name, "ready": False} for node in config.nodes],
        "problem": "",
    }
    if not found.daemon:
        document["problem"] = "its daemon is not running; pods and rules stay as they are"
        return document
    try:
        _ask(document, Api(str(config.api_socket), cluster=config.name, timeout=10.0))
    except (ApiError, ClusterNotRunning) as error:
        document["problem"] = str(error)
    return document


def _modes(config: ClusterConfig) -> list[str]:
    """The nodes' proxy modes, each once."""
    return sorted({node.proxy_mode or config.proxy.mode for node in config.nodes})


def _ask(document: dict[str, Any], api: Api) -> None:
    pods = api.get("/api/v1/pods").get("items") or []
    nodes = api.get("/api/v1/nodes").get("items") or []
    document["nodes"] = [_node(node, pods) for node in nodes]
    document["services"] = len(api.get("/api/v1/services").get("items") or [])
    document["pods"] = {"total": len(pods), "ready": sum(_is_ready(pod) for pod in pods)}
    try:
        reached = barrier(api, timeout=BARRIER_SECONDS)
        document["revision"] = reached["revision"]
        document["components"] = reached["components"]
    except ApiError as error:
        document["problem"] = error.message
    document["ready"] = not document["problem"] and all(n["ready"] for n in document["nodes"])


def _is_ready(obj: Object) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (obj.get("status") or {}).get("conditions") or ()
    )


def _node(node: Object, pods: list[Object]) -> dict[str, Any]:
    name = node["metadata"]["name"]
    addresses = (node.get("status") or {}).get("addresses") or ()
    return {
        "name": name,
        "ready": _is_ready(node),
        "addresses": [a["address"] for a in addresses if a.get("type") == "InternalIP"],
        "podCIDR": (node.get("spec") or {}).get("podCIDR", ""),
        "pods": sum((pod.get("spec") or {}).get("nodeName") == name for pod in pods),
    }


def _print(document: dict[str, Any]) -> None:
    state = "ready" if document["ready"] else "not ready"
    daemon = f"daemon {document['daemon']}" if document["daemon"] else "no daemon"
    print(f"cluster {document['name']}: {state} ({daemon}, proxy mode {document['proxyMode']})")
    if document["problem"]:
        print(f"problem: {document['problem']}")
    lines = ["NODE\tSTATUS\tADDRESS\tPODS\tPOD CIDR"]
    for node in document["nodes"]:
        status = "Ready" if node["ready"] else "NotReady" if document["daemon"] else "Unknown"
        addresses = ",".join(node.get("addresses") or ())
        pods = node.get("pods", "")
        lines.append(f"{node['name']}\t{status}\t{addresses}\t{pods}\t{node.get('podCIDR', '')}")
    print(*align(lines, minimum=6, padding=3), sep="\n")
    if "pods" in document:
        pods = document["pods"]
        print(f"{pods['ready']} of {pods['total']} pods ready, {document['services']} services")
    if "revision" in document:
        count = len(document["components"])
        print(f"revision {document['revision']} is programmed by all {count} components")
    print(f"owns {in_words(dict(sorted(document['owned'].items())))}")
    if not document["daemon"]:
        print(f"try: netemu up --name {document['name']}")
