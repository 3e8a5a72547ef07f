"""The cluster as `explain` sees it: objects from the API, each node's rules compiled from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Literal

from netemu.api import meta
from netemu.api.resource import Object
from netemu.cli import machines
from netemu.cli.explaining.rules import sources_of
from netemu.cli.session import Session
from netemu.config import ClusterConfig
from netemu.netstate.packet import Packet
from netemu.netstate.trace import Outcome, trace
from netemu.proxy import nodeports
from netemu.proxy.claims import Claims
from netemu.proxy.model import NodeView, service_of_slice
from netemu.proxy.services import desired_services, seen_from

Family = Literal[4, 6]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends. `kind` is pod, node or host; `node` is where its packets meet rules first."""

    kind: str
    name: str
    address: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where it goes. `service` when it is a Service's address; `node` when it is a node's."""

    text: str
    address: str
    port: int
    protocol: str
    service: str = ""
    node: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happens to the packet. `obstacle`: why it does not even reach rules."""

    sender: Sender
    aim: Aim
    node: str
    mode: str
    outcomes: Sequence[Outcome]
    places: dict[str, str]
    """Address -> what lives there."""
    legs: dict[str, str]
    """Address -> how packets get there from the node."""
    obstacle: str = ""

    @property
    def arrives(self) -> bool:
        """Whether at least one way leads somewhere that exists."""
        return not self.obstacle and any(
            outcome.verdict == "accept" and outcome.address in self.places
            for outcome in self.outcomes
        )


class World:
    """Read from the API when something is first asked for."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @cached_property
    def config(self) -> ClusterConfig:
        from netemu.cluster.state import load_config

        return load_config(self.session.cluster)

    @cached_property
    def machines(self) -> list[machines.Machine]:
        return machines.machines(self.session.cluster)

    @cached_property
    def pods(self) -> list[Object]:
        return self._all("/api/v1/pods")

    @cached_property
    def nodes(self) -> dict[str, Object]:
        return {meta.name(node): node for node in self._all("/api/v1/nodes")}

    @cached_property
    def services(self) -> dict[str, Object]:
        return {meta.key(service): service for service in self._all("/api/v1/services")}

    @cached_property
    def slices(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for each in self._all("/apis/discovery.k8s.io/v1/endpointslices"):
            found.setdefault(service_of_slice(each), []).append(each)
        return found

    def _all(self, path: str) -> list[Object]:
        items: list[Object] = self.session.api.get(path).get("items") or []
        return items

    def mode(self, node: str) -> str:
        own = next((n.proxy_mode for n in self.config.nodes if n.name == node), "")
        return own or self.config.proxy.mode

    def view(self, node: str, family: Family) -> NodeView:
        """The node as its proxy sees it."""
        proxy, config = self.config.proxy, self.config
        pods = _of_family(config.pod_subnets, family)
        view = NodeView(
            name=node,
            family=family,
            addresses=tuple(self._gateways(node, family)),
            local_cidr=pods[0] if pods else "",
            masquerade_all=proxy.masquerade_all,
            node_port_addresses=nodeports.of_family(proxy.node_port_addresses, family),
            localhost_node_ports=proxy.localhost_node_ports,
            service_cidrs=_of_family(config.service_subnets, family),
            ipvs_scheduler=proxy.ipvs_scheduler,
        )
        return seen_from(self.nodes.get(node), view)

    def _gateways(self, node: str, family: Family) -> list[str]:
        """Addresses of cni0: the first of each of the node's pod ranges."""
        spec = (self.nodes.get(node) or {}).get("spec") or {}
        ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        return [str(ip_network(cidr)[1]) for cidr in _of_family(ranges, family)]

    def follow(self, sender: Sender, aim: Aim) -> Story:
        """Trace the packet through the rules of the node that decides."""
        places, legs = self._places(), self._legs(sender.node or aim.node)
        node = sender.node or aim.node
        story = Story(
            sender=sender,
            aim=aim,
            node=node,
            mode=self.mode(node) if node else "",
            outcomes=(),
            places=places,
            legs=legs,
            obstacle=self._obstacle(sender, aim),
        )
        if story.obstacle:
            return story
        family: Family = 6 if ":" in aim.address else 4
        view = self.view(node, family)
        decided = {
            name: desired_services(service, self.slices.get(name, ()), view)
            for name, service in sorted(self.services.items())
        }
        settled = Claims().settle(decided)
        ports = [port for name in sorted(settled) for port in settled[name]]
        packet = Packet(
            source=sender.address,
            destination=aim.address,
            protocol=aim.protocol,
            destination_port=aim.port,
        )
        sources, host = sources_of(story.mode, ports, view)
        outcomes = trace(packet, sources, host, from_node=sender.kind == "node")
        return replace(story, outcomes=outcomes)

    def _obstacle(self, sender: Sender, aim: Aim) -> str:
        if sender.kind != "host" or aim.node:
            return ""
        if aim.address in {a for m in self.machines if m.role == "host" for a in m.addresses}:
            return "two outside hosts talk on the underlay; no node's rules are met"
        return (
            f"{sender.name} is outside the cluster and has no route to {aim.address}; reach"
            " Services through a NodePort (explain … node/NAME:PORT) or a LoadBalancer address"
        )

    def _places(self) -> dict[str, str]:
        found = {
            address: machine.label for machine in self.machines for address in machine.addresses
        }
        for pod in self.pods:
            status = pod.get("status") or {}
            if pod["spec"].get("hostNetwork") or status.get("phase") not in ("Running", "Pending"):
                continue
            for each in status.get("podIPs") or ():
                found[each["ip"]] = f"pod {meta.key(pod)} on {pod['spec'].get('nodeName')}"
        return found

    def _legs(self, node: str) -> dict[str, str]:
        """How a packet leaves `node` for each address."""
        legs = {}
        underlay = {
            machine.name: machine.addresses[0] for machine in self.machines if machine.addresses
        }
        for pod in self.pods:
            at = pod["spec"].get("nodeName", "")
            for each in (pod.get("status") or {}).get("podIPs") or ():
                if at == node:
                    legs[each["ip"]] = "over cni0, on the same node"
                else:
                    legs[each["ip"]] = (
                        f"over flannel.{self.config.vni} to {at} ({underlay.get(at, '?')})"
                    )
        for machine in self.machines:
            for address in machine.addresses:
                legs[address] = "on the node itself" if machine.name == node else "over eth0"
        return legs


def _of_family(cidrs: Sequence[str], family: Family) -> tuple[str, ...]:
    return tuple(cidr for cidr in cidrs if ip_address(cidr.partition("/")[0]).version == family)
