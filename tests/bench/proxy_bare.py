"""What full programming costs at the least: the same rules, made beforehand, given to the kernel.

`nft -f` and `iptables-restore` with a text that is ready; for flat mode the transaction's bytes;
for IPVS the netlink messages of its servers, sets and addresses, and the iptables rules.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

from netemu.errors import NetemuError
from netemu.netstate import ipset, ipsetwire, ipvswire, nftables
from netemu.netstate.iptables import Restore
from netemu.node import inet_messages, iptables, link_messages, netns
from netemu.node.ipset import IpsetSocket
from netemu.node.ipvssocket import IpvsSocket
from netemu.node.nfsocket import NfSocket
from netemu.proxy import iptables as iptables_layout
from netemu.proxy import ipvs as ipvs_layout
from netemu.proxy import ipvsrules
from netemu.proxy.endpoints import Service
from netemu.proxy.flatwire import encode_flat
from netemu.proxy.iptables import compile_iptables
from netemu.proxy.model import NodeView
from netemu.proxy.nftables import compile_nftables

Services = Mapping[str, tuple[Service, ...]]
_PATIENCE = 120.0


def bare(mode: str, services: Services, node: NodeView, path: str) -> Callable[[], None]:
    """Work that programs `services` into the empty namespace at `path`; making it took the time."""
    ordered = [one for key in sorted(services) for one in services[key]]
    if mode == "nftables":
        return _run(path, ["nft", "-f", "-"], nftables.render(compile_nftables(ordered, node)))
    if mode == "iptables":
        return _iptables(ordered, node, path)
    if mode == "flat":
        return _flat(services, node, path)
    return _ipvs(ordered, node, path)


def legacy(services: Services, node: NodeView, path: str) -> Callable[[], None]:
    """iptables' rules through the back end that the machine may not have chosen."""
    ordered = [one for key in sorted(services) for one in services[key]]
    text = _restore(ordered, node).render()
    return _run(path, ["iptables-legacy-restore", "--noflush"], text)


def _run(path: str, argv: Sequence[str], *texts: str) -> Callable[[], None]:
    inputs = [text.encode() for text in texts]

    def work() -> None:
        for each in inputs:
            netns.run_blocking(path, argv, stdin=each, timeout=_PATIENCE)

    return work


def _restore(ordered: Sequence[Service], node: NodeView) -> Restore:
    tables = compile_iptables(ordered, node)
    return Restore(tables=tables, inserts=iptables_layout.JUMPS)


def _iptables(ordered: Sequence[Service], node: NodeView, path: str) -> Callable[[], None]:
    """In pieces, as one large input takes iptables-nft tens of seconds (31 s at 5,000 Services)."""
    restore = ["iptables-restore", "-w", "5", "--noflush", "--counters"]
    return _run(path, restore, *iptables.pieces(_restore(ordered, node)))


def _flat(services: Services, node: NodeView, path: str) -> Callable[[], None]:
    """Over a socket that stays open: closing one waits for the kernel to free what it held."""
    batch, socket = encode_flat(services, node), NfSocket(path)
    return lambda: socket.apply_batch(batch)


def _ipvs(ordered: Sequence[Service], node: NodeView, path: str) -> Callable[[], None]:
    config = ipvs_layout.compile_ipvs(ordered, node)
    requests: list[ipvswire.Request] = []
    for virtual, server in config.servers.items():
        requests.append((ipvswire.NEW_SERVICE, virtual, server, None))
        requests += [(ipvswire.NEW_DEST, virtual, None, real) for real in server.reals]
    rules = Restore(tables=config.tables, inserts=ipvsrules.JUMPS).render()
    probe = IpvsSocket(path)
    messages = [probe.encode(request) for request in requests]
    probe.close()
    sets = [ipsetwire.encode(command) for command in ipset.diff({}, config.sets)]
    restore = _run(path, ["iptables-restore", "-w", "5", "--noflush", "--counters"], rules)
    device, index = link_messages.new_dummy(ipvs_layout.DEVICE), 2  # the first after lo
    addresses = [inet_messages.add_placeholder(index, a) for a in config.addresses]

    def work() -> None:
        ipvs, links, filters = IpvsSocket(path), netns.netlink_in(path), IpsetSocket(path)
        links.request([device])
        filters.send(sets)
        restore()
        ipvs.send(messages)
        links.request(addresses)
        for each in (ipvs, links, filters):
            each.close()

    return work


def attempt(work: Callable[[], None]) -> bool:
    """Whether `work` could be done at all."""
    try:
        work()
    except (NetemuError, subprocess.SubprocessError):
        return False
    return True
