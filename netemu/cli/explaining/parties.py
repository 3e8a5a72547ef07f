"""From what people write to who sends and where it goes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from netemu.api import meta
from netemu.api.resource import Object
from netemu.cli import machines
from netemu.cli.explaining.world import Aim, Sender, World
from netemu.cli.failures import CommandFailed
from netemu.cli.podtargets import one_pod

SERVICES = ("svc", "service", "services")
MACHINES = {"node": "node", "nodes": "node", "no": "node", "host": "host", "hosts": "host"}


def find_sender(world: World, word: str) -> Sender:
    """POD, NAMESPACE/POD, a workload's first pod, node/NAME or host/NAME."""
    kind, slash, name = word.partition("/")
    if slash and kind in MACHINES:
        machine = machines.find(world.session.cluster, MACHINES[kind], name)
        return Sender(
            kind=machine.role,
            name=machine.label,
            address=machine.addresses[0],
            node=machine.name if machine.role == "node" else "",
        )
    pod = _pod(world, word)
    status, spec = pod.get("status") or {}, pod["spec"]
    if not status.get("podIP"):
        raise CommandFailed(f"pod {meta.key(pod)} has no address yet")
    if spec.get("hostNetwork"):
        return Sender(
            kind="node",
            name=f"pod {meta.key(pod)} (on its node's network)",
            address=status["podIP"],
            node=spec["nodeName"],
        )
    return Sender(
        kind="pod", name=f"pod {meta.key(pod)}", address=status["podIP"], node=spec["nodeName"]
    )


def _pod(world: World, word: str) -> Object:
    space, slash, name = word.partition("/")
    if slash:
        for pod in world.pods:
            if meta.key(pod) == f"{space}/{name}":
                return pod
    return one_pod(world.session, word)


def find_target(world: World, text: str, protocol: str) -> Aim:
    """A Service, pod, machine or address, with or without a port."""
    word, port = split_port(text)
    for find in (_as_address, _as_machine, _as_service, _as_pod):
        aim = find(world, word, port, protocol)
        if aim is not None:
            return aim
    raise CommandFailed(
        f'"{word}" is no Service, pod, node/NAME, host/NAME or address',
        hint=f"netemu get svc,pods,nodes -n {world.session.namespace}",
    )


def split_port(text: str) -> tuple[str, int]:
    """(`web`, 80) of `web:80`; port 0 when there is none. IPv6 with a port needs brackets."""
    if text.startswith("["):
        inner, _, rest = text[1:].partition("]")
        return inner, _port(rest.removeprefix(":"))
    if text.count(":") > 1:
        return text, 0
    word, colon, port = text.partition(":")
    return word, _port(port) if colon else 0


def _port(text: str) -> int:
    if not text:
        return 0
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise CommandFailed(f'"{text}" is not a port', exit_code=2)
    return int(text)


def _as_address(world: World, word: str, port: int, protocol: str) -> Aim | None:
    try:
        address = str(ip_address(word))
    except ValueError:
        return None
    for service in world.services.values():
        if address in (service["spec"].get("clusterIPs") or ()):
            return _service_aim(service, port, protocol)
    node = next((m.name for m in world.machines if m.role == "node" and address in m.addresses), "")
    return Aim(text=word, address=address, port=port or 80, protocol=protocol or "tcp", node=node)


def _as_machine(world: World, word: str, port: int, protocol: str) -> Aim | None:
    kind, slash, name = word.partition("/")
    if not slash or kind not in MACHINES:
        return None
    machine = machines.find(world.session.cluster, MACHINES[kind], name)
    return Aim(
        text=machine.label,
        address=machine.addresses[0],
        port=port or 80,
        protocol=protocol or "tcp",
        node=machine.name if machine.role == "node" else "",
    )


def _as_service(world: World, word: str, port: int, protocol: str) -> Aim | None:
    """`web`, `svc/web`, `other/web`, or a DNS name: `web.other`, `web.other.svc.cluster.local`."""
    kind, slash, name = word.partition("/")
    if slash and kind not in SERVICES:
        service = world.services.get(word)
    else:
        bare = name if slash else word
        suffix = f".svc.{world.config.cluster_domain}"
        parts = bare.rstrip(".").removesuffix(suffix).removesuffix(".svc").split(".")
        space = parts[1] if len(parts) > 1 else world.session.namespace
        service = world.services.get(f"{space}/{parts[0]}")
    return _service_aim(service, port, protocol) if service is not None else None


def _service_aim(service: Object, port: int, protocol: str) -> Aim:
    spec: dict[str, Any] = service["spec"]
    key = meta.key(service)
    if spec.get("type") == "ExternalName":
        raise CommandFailed(
            f"Service {key} is only a name for {spec.get('externalName')} (a CNAME of the"
            " resolver); no rules, no address"
        )
    if spec.get("clusterIP") == "None":
        raise CommandFailed(
            f"Service {key} is headless: the resolver answers with its pods' addresses, no rules"
            " are involved",
            hint=f"netemu get endpointslices -l kubernetes.io/service-name="
            f"{meta.name(service)} -n {meta.namespace(service)}",
        )
    ports = spec.get("ports") or ()
    chosen = next((p for p in ports if not port or p["port"] == port), None)
    return Aim(
        text=f"Service {key}",
        address=spec["clusterIP"],
        port=port or (chosen["port"] if chosen else 80),
        protocol=protocol or (chosen or {}).get("protocol", "TCP").lower(),
        service=key,
        note="" if chosen else f"Service {key} has no port {port}",
    )


def _as_pod(world: World, word: str, port: int, protocol: str) -> Aim | None:
    bare = word.removeprefix("pod/").removeprefix("pods/")
    name = bare if "/" in bare else f"{world.session.namespace}/{bare}"
    for pod in world.pods:
        if meta.key(pod) == name and (pod.get("status") or {}).get("podIP"):
            ports = [p for c in pod["spec"]["containers"] for p in c.get("ports") or ()]
            first = ports[0]["containerPort"] if ports else 80
            return Aim(
                text=f"pod {name}",
                address=pod["status"]["podIP"],
                port=port or first,
                protocol=protocol or "tcp",
            )
    return None
