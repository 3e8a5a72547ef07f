"""Who can ping: pods with an address, nodes and outside hosts; and how people name them."""

from __future__ import annotations

from ipaddress import ip_address

from netemu.api.resource import Object
from netemu.cli import machines
from netemu.cli.failures import CommandFailed
from netemu.cli.podtargets import one_pod
from netemu.cli.prober import Peer
from netemu.cli.session import Session


def find_peer(session: Session, word: str) -> Peer:
    """`web-0`, `default/web-0`, `pod/web-0`, `node/node-1`, `host/client`, or (to be pinged
    only) an address."""
    try:
        return Peer(label=word, netns="", address=str(ip_address(word)))
    except ValueError:
        pass
    kind, slash, name = word.partition("/")
    if slash and kind in ("node", "nodes", "no", "host", "hosts"):
        machine = machines.find(session.cluster, "host" if kind[0] == "h" else "node", name)
        return of_machine(machine)
    if slash and kind not in ("pod", "pods", "po") and not _is_type(session, kind):
        path = f"/api/v1/namespaces/{kind}/pods/{name}"
        return of_pod(session, session.api.get(path), qualified=True)
    return of_pod(session, one_pod(session, word), qualified=False)


def _is_type(session: Session, word: str) -> bool:
    return any(resource.answers_to(word) for resource in session.discovery.resources)


def of_machine(machine: machines.Machine) -> Peer:
    return Peer(label=machine.label, netns=machine.netns, address=machine.addresses[0])


def of_pod(session: Session, pod: Object, *, qualified: bool) -> Peer:
    """A pod on the node's own network pings from there."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    label = f"{metadata['namespace']}/{metadata['name']}" if qualified else metadata["name"]
    address = status.get("podIP")
    if not address:
        raise CommandFailed(
            f"pod {metadata['namespace']}/{metadata['name']} has no address yet"
            f" ({status.get('phase', 'Pending')})",
            hint=f"netemu wait pod/{metadata['name']} --for=condition=Ready"
            f" -n {metadata['namespace']}",
        )
    node = spec.get("nodeName", "")
    if spec.get("hostNetwork"):
        netns = f"{machines.NETNS}/{session.cluster}.{node}"
        return Peer(label=label, netns=netns, address=address)
    netns = machines.pod_netns(session.cluster, node, metadata["namespace"], metadata["name"])
    return Peer(label=label, netns=netns, address=address, bridge=node)


def all_peers(session: Session, namespace: str, labels: str) -> tuple[list[Peer], list[Peer]]:
    """(pods and nodes, outside hosts). Pods without a network of their own are their nodes."""
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    items = session.api.get(path, {"labelSelector": labels}).get("items") or []
    pods = [
        of_pod(session, pod, qualified=not namespace)
        for pod in items
        if (pod.get("status") or {}).get("phase") == "Running"
        and (pod.get("status") or {}).get("podIP")
        and not pod["spec"].get("hostNetwork")
        and not pod["metadata"].get("deletionTimestamp")
    ]
    known = machines.machines(session.cluster)
    nodes = [of_machine(machine) for machine in known if machine.role == "node"]
    hosts = [of_machine(machine) for machine in known if machine.role == "host"]
    return [*pods, *nodes], hosts
