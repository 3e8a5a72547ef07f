"""The underlay: one namespace with a switch into which the nodes and outside hosts are plugged.

    machine's own namespace          fabric namespace              node-1, node-2, hosts …
    ┌──────────────────┐      ┌─────────────────────────────┐      ┌──────────────────┐
    │ ne-NAME  .1      ├──────┤ machine   underlay (.254)   ├──────┤ eth0  .2, .3, …  │
    └──────────────────┘      └─────────────────────────────┘      └──────────────────┘

The machine gets one link and one connected route; nothing else of it changes. The switch's own
address is the default router of all: it knows hosts whose addresses lie elsewhere, and answers
"unreachable" for the rest, so nothing leaks out and nobody waits.

Who is plugged in is written to `fabric.json` before it is made; a new daemon builds it all again,
idempotently, which is how it adopts what is there.
network_namespaces(7), veth(4), bridge(8)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence

from netemu.config import ClusterConfig
from netemu.errors import ConfigError, DataplaneError
from netemu.node import fabric_state, machine_link, netns, netns_directory, node_subnet
from netemu.node import machine as machines
from netemu.node.bridge_ports import wait_forwarding, wait_operational
from netemu.node.hardware import mac_of
from netemu.node.inet_messages import (
    add_address,
    add_port_entry,
    add_route,
    delete_neighbour,
    delete_route,
)
from netemu.node.ledger import Ledger
from netemu.node.link_messages import LOOPBACK_INDEX, delete_link, new_bridge, set_link
from netemu.node.machine import NODE, Machine, Underlay
from netemu.node.netlink import NetlinkSocket
from netemu.node.serial_thread import SerialThread

SWITCH, SWITCH_NAME = 15, "underlay"
FIRST_PORT = 16


class Fabric:
    """The underlay of one cluster. `open` first; calls do their kernel work in helper threads."""

    def __init__(self, config: ClusterConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._thread = SerialThread(f"{config.name}/fabric")
        self._state = config.run_dir / "fabric.json"
        self._machines: dict[str, Machine] = {}
        self._sockets: dict[str, NetlinkSocket] = {}
        self._eth0: dict[str, int] = {}
        self._owned: set[str] = set()
        self._off: set[str] = set()
        self._pool_node = ""
        """The node that load balancers' addresses lead to."""
        self._peers: set[str] = set()
        self._name = f"{config.name}.fabric"
        self.node_subnet = config.node_subnet
        self.link = machine_link.name_of(config.name)
        """The machine's own end."""

    @property
    def machines(self) -> Mapping[str, Machine]:
        return self._machines

    @property
    def machine_address(self) -> str:
        """The machine's address on the node network."""
        return node_subnet.machine_address(self.node_subnet)

    @property
    def serving_address(self) -> str:
        """The machine's address of the Services' first family: API server, name servers."""
        return self._machine_addresses[-1 if ":" in self._config.service_subnets[0] else 0]

    @property
    def _machine_addresses(self) -> tuple[str, ...]:
        first = self.machine_address
        if not self._dual_stack:
            return (first,)
        return first, node_subnet.ipv6_address(self.node_subnet, first)

    async def open(self, avoid: Iterable[str] = ()) -> None:
        """Make the fabric, or adopt what a former daemon left, with all its machines.

        `avoid`: networks that the underlay must not overlap, besides this machine's.
        """
        await self._thread.do(self._open, tuple(avoid))

    async def add(
        self, names: Mapping[str, str] | list[str] | tuple[str, ...], role: str = NODE
    ) -> list[Machine]:
        """Plug in machines: names, or name -> wanted address. Idempotent by name."""
        wanted = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, "")
        return await self._thread.do(self._add, wanted, role)

    async def remove(self, name: str) -> None:
        """Unplug a machine and delete its namespace. Idempotent."""
        await self._thread.do(self._remove, name)

    async def set_peers(self, networks: Iterable[str]) -> None:
        """Lead to these other underlays through this machine, which may know a way to them."""
        await self._thread.do(self._set_peers, set(networks))

    async def set_power(self, name: str, on: bool) -> None:
        """Pull or plug the machine's cable: a node that is off is one that nobody reaches."""
        await self._thread.do(self._set_power, self._machines[name], on)

    def close(self) -> None:
        """End the work in hand and close sockets; the fabric stays."""
        self._thread.close()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    # everything below runs in a helper thread, one at a time

    def _open(self, avoid: Sequence[str]) -> None:
        root = self._config.run_dir.parent
        self._owned = {str(e["path"]) for e in self._ledger.entries() if e.kind == "netns"}
        with netns_directory.machine_lock(root):
            netns_directory.prepare(root)
            former = fabric_state.load(self._state, self._config.name)
            self._machines = {machine.name: machine for machine in former.machines}
            self.node_subnet = former.node_subnet or self._choose_subnet(avoid)
            self._pool_node = former.pool_node
            self._save()
            self._build_switch()
            self._build_machine_link()
        self._build_all(list(self._machines.values()))

    def _set_power(self, machine: Machine, on: bool) -> None:
        fabric = self._sockets[""]
        fabric.request([set_link(machine.port, up=on)])
        if on:
            self._off.discard(machine.name)
            wait_forwarding(fabric, SWITCH, [machine.port])
            wait_operational(self._sockets[machine.name], self._eth0[machine.name])
        else:
            self._off.add(machine.name)
        self._announce_pool()

    def _set_peers(self, networks: set[str]) -> None:
        gone, new = self._peers - networks, networks - self._peers
        own = self._sockets[""]
        removals = [delete_route(each, SWITCH) for peer in gone for each, _ in self._ways(peer)]
        own.request(removals, ignore={errno.ESRCH})
        additions = [(each, via) for peer in sorted(new) for each, via in self._ways(peer)]
        own.request([add_route(each, SWITCH, gateway=via) for each, via in additions])
        self._peers = networks

    def _ways(self, peer: str) -> list[tuple[str, str]]:
        """(network, router) for each family of another underlay."""
        networks = [peer]
        if self._dual_stack:
            networks.append(node_subnet.ipv6_network(peer))
        return list(zip(networks, self._machine_addresses, strict=True))

    def _choose_subnet(self, avoid: Sequence[str]) -> str:
        if self._config.node_subnet:
            return self._config.node_subnet
        own = [*self._config.pod_subnets, *self._config.service_subnets]
        return node_subnet.choose([*machine_link.observe_networks(), *own, *avoid])

    def _underlay(self) -> Underlay:
        networks, routers = [self.node_subnet], [node_subnet.router_address(self.node_subnet)]
        if self._dual_stack:
            networks.append(node_subnet.ipv6_network(self.node_subnet))
            routers.append(node_subnet.ipv6_address(self.node_subnet, routers[0]))
        return Underlay(
            networks=tuple(networks),
            routers=tuple(routers),
            router_mac=mac_of(routers[0]),
            machine_addresses=self._machine_addresses,
            machine_mac=machine_link.mac_of(self._config.name, self.machine_address),
            mtu=self._config.mtu,
            switch=SWITCH,
        )

    @property
    def _dual_stack(self) -> bool:
        return any(":" in subnet for subnet in self._config.pod_subnets)

    def _build_switch(self) -> None:
        underlay = self._underlay()
        own = machines.ensure_namespace(self._name, self._ledger, self._owned)
        self._sockets[""] = own
        settings = {
            "net/ipv6/conf/default/addr_gen_mode": "1",
            "net/ipv4/ip_forward": "1",
            "net/ipv6/conf/all/forwarding": "1",
            "net/ipv4/conf/all/send_redirects": "0",
            "net/ipv4/conf/default/send_redirects": "0",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/default/rp_filter": "0",
            "net/bridge/bridge-nf-call-iptables": "0",
            "net/bridge/bridge-nf-call-ip6tables": "0",
        }
        netns.call_in(netns.path_of(self._name), machines.write_settings(settings))
        bridge = new_bridge(
            name=SWITCH_NAME, mtu=underlay.mtu, address=underlay.router_mac, index=SWITCH
        )
        own.request([bridge], ignore={errno.EEXIST, errno.EBUSY})
        addresses = [
            add_address(SWITCH, f"{router}/{network.rpartition('/')[2]}")
            for router, network in zip(underlay.routers, underlay.networks, strict=True)
        ]
        own.request([set_link(LOOPBACK_INDEX, up=True), *addresses])

    def _build_machine_link(self) -> None:
        lengths = (self.node_subnet.rpartition("/")[2], str(node_subnet.IPV6_LENGTH))
        pairs = zip(self._machine_addresses, lengths, strict=False)
        machine_link.ensure(
            self._config.name,
            [f"{address}/{length}" for address, length in pairs],
            fabric=self._sockets[""],
            switch=SWITCH,
            mtu=self._config.mtu,
            ledger=self._ledger,
        )

    def _add(self, wanted: dict[str, str], role: str) -> list[Machine]:
        new = []
        for name, address in wanted.items():
            if name == "fabric":
                raise ConfigError(['a machine cannot be called "fabric"'])
            if name not in self._machines:
                self._machines[name] = self._plan(name, role, address)
                new.append(self._machines[name])
        if new:
            self._save()
            try:
                self._build_all(new)
            except DataplaneError:
                for machine in new:
                    self._remove(machine.name)
                raise
        return [self._machines[name] for name in wanted]

    def _plan(self, name: str, role: str, address: str) -> Machine:
        used = {other.address: other.name for other in self._machines.values()}
        used |= {
            self.machine_address: "this machine",
            node_subnet.router_address(self.node_subnet): "the fabric's router",
        }
        if address in used:
            raise ConfigError([f"{role} {name}: address {address} belongs to {used[address]}"])
        chosen = address or node_subnet.next_address(self.node_subnet, used)
        addresses = [chosen]
        if self._dual_stack:
            addresses.append(node_subnet.ipv6_address(self.node_subnet, chosen))
        ports = {other.port for other in self._machines.values()}
        return Machine(
            name=name,
            role=role,
            netns=netns.path_of(f"{self._config.name}.{name}"),
            addresses=tuple(addresses),
            port=max(ports, default=FIRST_PORT - 1) + 1,
        )

    def _build_all(self, new: list[Machine]) -> None:
        underlay, fabric = self._underlay(), self._sockets[""]
        for machine in new:
            name = f"{self._config.name}.{machine.name}"
            own = machines.ensure_namespace(name, self._ledger, self._owned)
            self._sockets[machine.name] = own
            self._eth0[machine.name] = machines.build(machine, underlay, fabric, own)
            fabric.request([*self._routes(machine), add_port_entry(machine.port, machine.mac)])
        wait_forwarding(fabric, SWITCH, [machine_link.PORT, *(machine.port for machine in new)])
        self._introduce(new)
        self._announce_pool()

    def _announce_pool(self) -> None:
        """Lead load balancers' addresses to one node that is on: every node's proxy serves them.

        It stays with its node as long as it can: a move cuts the connections that go through it.
        """
        pool = self._config.load_balancer_pool
        nodes = [
            machine
            for machine in self._machines.values()
            if machine.role == NODE and machine.name not in self._off
        ]
        if not pool or not nodes:
            return
        chosen = next((node for node in nodes if node.name == self._pool_node), nodes[0])
        family = [address for address in chosen.addresses if (":" in address) == (":" in pool)]
        if family:
            route = add_route(pool, SWITCH, gateway=family[0], onlink=True)
            self._sockets[""].request([route])
        if chosen.name != self._pool_node:
            self._pool_node = chosen.name
            self._save()

    def _routes(self, machine: Machine) -> list[bytes]:
        """Routes to addresses that lie outside the wire's own networks."""
        return [
            add_route(f"{address}/{'128' if ':' in address else '32'}", SWITCH)
            for address, network in zip(machine.addresses, self._underlay().networks, strict=True)
            if not node_subnet.contains(network, address)
        ]

    def _introduce(self, new: list[Machine]) -> None:
        """Permanent neighbours all over: with 50 nodes ARP's machine-wide table would overflow."""
        names = {machine.name for machine in new}
        for machine in self._machines.values():
            others = new if machine.name not in names else list(self._machines.values())
            known = [
                message
                for other in others
                if other.name != machine.name
                for message in machines.neighbours(other, self._eth0[machine.name])
            ]
            if machine.name in self._sockets:
                self._sockets[machine.name].request(known)

    def _remove(self, name: str) -> None:
        machine = self._machines.pop(name, None)
        if machine is None:
            return
        fabric, own = self._sockets[""], self._sockets.pop(name, None)
        if own is not None:
            own.close()
        fabric.request(
            [delete_route(f"{address}/32", SWITCH) for address in machine.addresses[:1]],
            ignore={errno.ESRCH},
        )
        fabric.request([delete_link(machine.port)], ignore={errno.ENODEV})
        for other in self._machines.keys() & self._sockets.keys():
            self._sockets[other].request(
                [delete_neighbour(self._eth0[other], address) for address in machine.addresses],
                ignore={errno.ENOENT},
            )
        if machine.netns in self._owned:  # else it is someone else's, and why we failed
            netns.delete(machine.netns)
            self._owned.discard(machine.netns)
            self._ledger.forget("netns", path=machine.netns)
        self._off.discard(name)
        self._announce_pool()
        self._save()

    def _save(self) -> None:
        fabric_state.save(
            self._state, self.node_subnet, self._machines.values(), pool_node=self._pool_node
        )
