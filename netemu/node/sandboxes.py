"""Which pods of a node have a network, and the order of steps in which one comes and goes.

    comes  address · log · ledger (name) · kernel · holder · name
    goes   kernel · name · ledger · holder · log · address

A namespace ends with the last descriptor, so a daemon killed before the holder has it leaves
nothing in the kernel; what the holder has is complete. `adopt` needs no more than that.

Blocking; one call at a time, in helper threads.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from netemu.config import ClusterConfig
from netemu.errors import DataplaneError
from netemu.node import netns, sandbox
from netemu.node.hardware import mac_of, veth_name
from netemu.node.inet_messages import add_address, delete_neighbour
from netemu.node.ipam import HostLocal
from netemu.node.ledger import Ledger
from netemu.node.link_messages import delete_group, new_bridge, set_link
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_maker import Build
from netemu.node.network_observe import observe_known, observe_links
from netemu.node.sandbox import Bridge, PodLink
from netemu.node.sandbox_log import SandboxLog, SandboxRecord

BRIDGE_NAME, BRIDGE_INDEX = "cni0", 15
FIRST_POD_INDEX = 16
MAX_PORTS = 1023
"""Ports of a Linux bridge (BR_PORT_BITS); the kernel refuses the next one with EXFULL."""
_NAME_LENGTH = 200
_BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_FEW = 256
"""Up to so many pods in the cluster, those of one node talk over the bridge, as with flannel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A pod that wants a network."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSandbox:
    """A pod's network. `netns`: path of its namespace; `ips`, IPv4 first; `gateway` for IPv4."""

    uid: str
    namespace: str
    name: str
    ips: tuple[str, ...]
    netns: str
    gateway: str


class Sandboxes:
    """See `podnetwork.PodNetwork`."""

    def __init__(
        self,
        config: ClusterConfig,
        node: str,
        node_netns: str,
        *,
        holder: NamespaceHolder,
        ledger: Ledger,
        build: Build = sandbox.build,
    ) -> None:
        self._config = config
        self._build = build
        self._node = node
        self._netns = node_netns
        self._holder = holder
        self._ledger = ledger
        self._log = SandboxLog(config.node_dir(node) / "sandboxes")
        self._ranges: list[HostLocal] = []
        self._records: dict[str, SandboxRecord] = {}
        self._next_index = FIRST_POD_INDEX
        self._generation = -1
        self._mtu = config.mtu - 50
        self._netlink: NetlinkSocket | None = None
        self.by_uid: dict[str, PodSandbox] = {}

    @property
    def configured(self) -> bool:
        return bool(self._ranges)

    @property
    def gateways(self) -> tuple[str, ...]:
        return tuple(subnet.gateway for subnet in self._ranges)

    def configure(self, pod_cidrs: Sequence[str], mtu: int) -> None:
        """Make cni0, or bring it back to what it should be."""
        wanted = [HostLocal(self._node, cidr) for cidr in pod_cidrs]
        if [r.subnet for r in self._ranges] != [r.subnet for r in wanted]:
            if self._records:
                raise DataplaneError(
                    self._node,
                    f"change the pod network to {', '.join(pod_cidrs)}",
                    stderr=f"{len(self._records)} pods have addresses of the old one",
                    hint=f"delete the pods of {self._node} first",
                )
            self._ranges = wanted
        self._mtu = mtu or self._mtu
        state = {"podCIDRs": list(pod_cidrs), "mtu": self._mtu}
        self._bridge_state.parent.mkdir(parents=True, exist_ok=True)
        self._bridge_state.write_text(json.dumps(state))
        self._make_bridge()

    def add(self, requests: Sequence[PodRequest]) -> None:
        """New networks; the first error is raised after all others were made."""
        self._check_room(len(requests))
        records = self._plan(requests)
        self._log.add(records)
        self._record_names([record.path for record in records])
        built, failed = self._build(
            [self._pod_link(record) for record in records], self._bridge, self._node_socket
        )
        numbers = self._holder.hold(built)
        for record in records:
            if record.uid in numbers:
                self._publish(record, numbers[record.uid])
        if failed:
            self._discard([record for record in records if record.uid in failed])
            raise next(iter(failed.values()))

    def remove(self, uids: Iterable[str]) -> None:
        records = [self._records[uid] for uid in uids if uid in self._records]
        if records:
            self._unlink(records)
            self._discard(records)

    def adopt(self) -> None:
        if self._bridge_state.exists() and not self._ranges:
            state = json.loads(self._bridge_state.read_text())
            self._mtu = state["mtu"]
            self._ranges = [HostLocal(self._node, cidr) for cidr in state["podCIDRs"]]
            self._make_bridge()
        logged = self._log.read()
        held = set(self._holder.open())
        links = observe_links(self._node_socket)
        self._next_index = max((link.index for link in links.values()), default=0) + 1
        self._next_index = max(self._next_index, FIRST_POD_INDEX)
        numbers = self._holder.numbers() if held else {}
        lost = []
        for record in logged.values():
            self._reserve(record)
            if record.uid in numbers and record.link in links:
                self._publish(record, numbers[record.uid])
            else:
                lost.append(record)
        self._unlink([record for record in lost if record.link in links])
        self._discard(lost)
        self._drop_stale_neighbours()
        self._log.rewrite(self._records.values())
        self._generation = self._holder.generation

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def renew_names(self) -> None:
        """Point the names to a new holder's descriptors, when there is one."""
        self._holder.ensure()
        if self._generation == self._holder.generation:
            return
        numbers = self._holder.numbers()
        for record in self._records.values():
            if record.uid in numbers:
                self._name(record, numbers[record.uid])
        self._generation = self._holder.generation

    @property
    def _bridge_state(self) -> Path:
        return self._config.node_dir(self._node) / "cni0.json"

    @property
    def _bridge(self) -> Bridge:
        return Bridge(index=BRIDGE_INDEX, mac=mac_of(self._ranges[0].gateway), mtu=self._mtu)

    @property
    def _node_socket(self) -> NetlinkSocket:
        if self._netlink is None:
            self._netlink = netns.netlink_in(self._netns)
        return self._netlink

    @property
    def _routed(self) -> bool:
        """Whether a new pod reaches its node's other pods through the gateway.

        Where many pods are expected; and where bridged packets do not pass netfilter: a Service's
        answer from a pod of the same node would come back unchanged, from the wrong address.
        """
        many = self._ranges[0].prefix_length < 24 or self._holder.count >= _FEW
        return many or not _BRIDGE_NETFILTER.exists()

    def _make_bridge(self) -> None:
        """Make cni0, or what is missing of it. Who deletes it gets it back, with all its ports."""
        bridge, node = self._bridge, self._node_socket
        message = new_bridge(
            name=BRIDGE_NAME, mtu=bridge.mtu, address=bridge.mac, index=bridge.index
        )
        refused = node.try_all([message])
        if refused and refused[0].errno not in (errno.EEXIST, errno.EBUSY):
            raise node.error(refused[0])
        addresses = [
            add_address(bridge.index, f"{subnet.gateway}/{subnet.prefix_length}")
            for subnet in self._ranges
        ]
        node.request([set_link(bridge.index, up=True, mtu=bridge.mtu), *addresses])
        self._plug_again()

    def _plug_again(self) -> None:
        """Pods that cni0 no longer knows: with it, or with its address, the entries went."""
        known = observe_known(self._node_socket, BRIDGE_INDEX) if self._records else set()
        lost = [r for r in self._records.values() if not known.issuperset(r.ips)]
        if lost:
            sandbox.plug_again(map(self._pod_link, lost), self._bridge, self._node_socket)

    def _check_room(self, count: int) -> None:
        if len(self._records) + count > MAX_PORTS:
            raise DataplaneError(
                self._node,
                f"add {count} pod{'s' * (count > 1)} to {len(self._records)}",
                errno=errno.EXFULL,
                stderr=f"bridge {BRIDGE_NAME} takes at most {MAX_PORTS} ports",
                hint="run the pods on further nodes",
            )

    def _plan(self, requests: Sequence[PodRequest]) -> list[SandboxRecord]:
        records: list[SandboxRecord] = []
        try:
            for request in requests:
                index = self._next_index
                self._next_index += 1
                records.append(
                    SandboxRecord(
                        uid=request.uid,
                        namespace=request.namespace,
                        name=request.name,
                        ips=tuple(subnet.allocate(request.uid) for subnet in self._ranges),
                        link=veth_name(request.uid, index),
                        index=index,
                        path=self._path(request),
                    )
                )
        except DataplaneError:
            for request in requests:
                for subnet in self._ranges:
                    subnet.release(request.uid)
            raise
        return records

    def _path(self, request: PodRequest) -> str:
        full = f"{self._config.name}.{request.namespace}.{request.name}"
        if len(full) > _NAME_LENGTH:
            digest = hashlib.sha256(full.encode()).hexdigest()[:16]
            full = f"{full[: _NAME_LENGTH - 17]}-{digest}"
        if self._config.pod_namespace_names:
            return netns.path_of(full)
        return str(self._config.node_dir(self._node) / "netns" / full)

    def _pod_link(self, record: SandboxRecord) -> PodLink:
        return PodLink(
            uid=record.uid,
            name=record.link,
            index=record.index,
            addresses=tuple(
                f"{ip}/{subnet.prefix_length}"
                for ip, subnet in zip(record.ips, self._ranges, strict=True)
            ),
            gateways=self.gateways,
            routed=self._routed,
        )

    def _publish(self, record: SandboxRecord, number: int) -> None:
        self._name(record, number)
        self._records[record.uid] = record
        self.by_uid[record.uid] = PodSandbox(
            uid=record.uid,
            namespace=record.namespace,
            name=record.name,
            ips=record.ips,
            netns=record.path,
            gateway=self._ranges[0].gateway,
        )

    def _name(self, record: SandboxRecord, number: int) -> None:
        target = self._holder.path(number)
        try:
            os.symlink(target, record.path)
        except FileExistsError:
            if os.readlink(record.path) != target:
                os.unlink(record.path)
                os.symlink(target, record.path)

    def _record_names(self, paths: list[str]) -> None:
        if self._config.pod_namespace_names:
            self._ledger.record_all("file", ({"path": path} for path in paths))
        else:
            Path(paths[0]).parent.mkdir(parents=True, exist_ok=True)

    def _reserve(self, record: SandboxRecord) -> None:
        for ip, subnet in zip(record.ips, self._ranges, strict=False):
            subnet.reserve(record.uid, ip)

    def _unlink(self, records: Sequence[SandboxRecord]) -> None:
        """Take the pairs away: at once unreachable, and all of the batch in one wait for RCU."""
        if not records:
            return
        group = secrets.randbelow(1 << 30) + 1
        node = self._node_socket
        node.try_all(
            [set_link(record.index, up=False, group=group) for record in records]
            + [delete_neighbour(BRIDGE_INDEX, ip) for record in records for ip in record.ips]
        )
        node.request([delete_group(group)], ignore={errno.ENODEV, errno.EINVAL})

    def _discard(self, records: Sequence[SandboxRecord]) -> None:
        for record in records:
            with suppress(FileNotFoundError):
                os.unlink(record.path)
        if self._config.pod_namespace_names:
            self._ledger.forget_all("file", ({"path": record.path} for record in records))
        uids = [record.uid for record in records]
        self._holder.drop(uids)
        self._log.remove(uids)
        for uid in uids:
            self._records.pop(uid, None)
            self.by_uid.pop(uid, None)
            for subnet in self._ranges:
                subnet.release(uid)

    def _drop_stale_neighbours(self) -> None:
        ours = {ip for record in self._records.values() for ip in record.ips}
        stale = observe_known(self._node_socket, BRIDGE_INDEX) - ours
        self._node_socket.try_all([delete_neighbour(BRIDGE_INDEX, ip) for ip in stale])
