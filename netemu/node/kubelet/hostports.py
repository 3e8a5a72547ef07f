"""hostPort: a port of the node that leads to a pod, as the CNI plugin portmap programs it.

Chains and marks are portmap's, so `iptables-save` in a node reads as on a real one. One
`iptables-restore --noflush` adds a pod's chain, one takes it away.
https://www.cni.dev/plugins/current/meta/portmap/
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netemu.api import meta
from netemu.api.kind import Object
from netemu.node import netns

_MARK = "0x2000/0x2000"
_TOP = "CNI-HOSTPORT-DNAT"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """`host_ip` empty: every address of the node. `protocol` in lower case."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str


def host_ports(pod: Object) -> tuple[PortMapping, ...]:
    """What a pod asks for; nothing for one on the host's network, whose ports are the node's."""
    if pod["spec"].get("hostNetwork"):
        return ()
    return tuple(
        PortMapping(
            "" if port.get("hostIP") in (None, "0.0.0.0", "::") else port["hostIP"],
            port["hostPort"],
            port["containerPort"],
            (port.get("protocol") or "TCP").lower(),
        )
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def chain_name(uid: str) -> str:
    """`CNI-DN-` and a hash, 28 characters as iptables allows."""
    return "CNI-DN-" + hashlib.sha512(uid.encode()).hexdigest()[:21]


def compile_rules(pod: Object, mappings: Sequence[PortMapping], address: str) -> str:
    """Input of iptables-restore that sends these ports to `address`, one of the pod's."""
    chain, named = chain_name(meta.uid(pod)), meta.key(pod)
    lines = ["*nat", f":{chain} - [0:0]"]
    for mapping in mappings:
        if mapping.host_ip and (":" in mapping.host_ip) != (":" in address):
            continue
        match = f"-p {mapping.protocol} -m {mapping.protocol} --dport {mapping.host_port}"
        if mapping.host_ip:
            match = f"-d {mapping.host_ip} {match}"
        lines.append(f'-A {_TOP} {match} -m comment --comment "dnat name: {named}" -j {chain}')
        target = f"[{address}]" if ":" in address else address
        local = "::1" if ":" in address else "127.0.0.1"
        for source in (address, local):
            lines.append(f"-A {chain} -s {source} {match} -j CNI-HOSTPORT-SETMARK")
        port = mapping.container_port
        lines.append(f"-A {chain} {match} -j DNAT --to-destination {target}:{port}")
    return "\n".join([*lines, "COMMIT", ""])


_TOP_RULES = f"""\
*nat
:{_TOP} - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j {_TOP}
-A OUTPUT -m addrtype --dst-type LOCAL -j {_TOP}
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" \
-j MARK --set-xmark {_MARK}
-A CNI-HOSTPORT-MASQ -m mark --mark {_MARK} -j MASQUERADE
COMMIT
"""


def compile_removal(saved: str, uid: str) -> str:
    """Input that takes a pod's chain away, from what iptables-save says; empty if none is there."""
    chain = chain_name(uid)
    jumps = [
        line.replace("-A ", "-D ", 1)
        for line in saved.splitlines()
        if line.startswith(f"-A {_TOP} ") and line.endswith(f"-j {chain}")
    ]
    if not jumps and f":{chain} " not in saved:
        return ""
    return "\n".join(["*nat", f":{chain} - [0:0]", *jumps, f"-X {chain}", "COMMIT", ""])


class HostPorts:
    """Programs host ports in one node's namespace."""

    def __init__(self, netns_path: str, directory: str) -> None:
        self._netns = netns_path
        self._lock = asyncio.Lock()
        self._env = {"XTABLES_LOCKFILE": str(Path(directory) / "xtables.lock")}

    async def add(self, pod: Object, addresses: Sequence[str]) -> None:
        """Open a pod's ports; does nothing for the many that have none."""
        mappings = host_ports(pod)
        if not mappings:
            return
        async with self._lock:
            for address in addresses:
                saved = await self._save(address)
                rules = "" if f":{_TOP} " in saved else _TOP_RULES
                rules += compile_removal(saved, meta.uid(pod))
                await self._restore(address, rules + compile_rules(pod, mappings, address))

    async def remove(self, pod: Object, addresses: Sequence[str]) -> None:
        """Close them again."""
        if not host_ports(pod):
            return
        async with self._lock:
            for address in addresses:
                removal = compile_removal(await self._save(address), meta.uid(pod))
                if removal:
                    await self._restore(address, removal)

    async def _save(self, address: str) -> str:
        argv = [f"{_program(address)}-save", "-t", "nat"]
        return (await netns.run(self._netns, argv, env=self._env)).decode()

    async def _restore(self, address: str, rules: str) -> None:
        argv = [f"{_program(address)}-restore", "--noflush", "-w", "5"]
        await netns.run(self._netns, argv, stdin=rules.encode(), env=self._env)


def _program(address: str) -> str:
    return "ip6tables" if ":" in address else "iptables"
