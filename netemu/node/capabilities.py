"""What this machine can do for netemu, tried for real in a namespace that is thrown away.

A kernel's configuration tells little: modules may be missing, rights withheld by a container. So
each feature is used once, and what fails comes with the next thing to try. Read by `netemu doctor`
and asked by whoever is about to need a feature.
capabilities(7), network_namespaces(7)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netemu.errors import CapabilityError, NetemuError
from netemu.node import netns, xtables
from netemu.node.programs import install_hint
from netemu.node.throwaway import throwaway_namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One thing that the machine has or lacks. `needed_by`: what does not work without it."""

    name: str
    present: bool
    needed_by: str
    detail: str = ""
    hint: str = ""


PROGRAMS = {
    "ip": "looking into nodes, addresses of nodes",
    "iptables-restore": "masquerading, proxy modes iptables and ipvs",
    "iptables-save": "masquerading, proxy modes iptables and ipvs",
    "nft": "looking at proxy modes nftables and flat",
    "ipset": "looking at proxy mode ipvs",
    "ipvsadm": "looking at proxy mode ipvs",
    "conntrack": "looking at connections",
    "ping": "pinging by hand",
    "tcpdump": "watching packets",
    "busybox": "images busybox and alpine",
}
"""Program -> needed by; `programs.py` knows their packages."""

REQUIRED = (
    "root",
    "ip",
    "iptables-restore",
    "iptables-save",
    "netns",
    "veth",
    "bridge",
    "vxlan",
    "iptables",
)
"""Without these there is no cluster. Programs first: features are tried with them."""


@dataclass(frozen=True, slots=True)
class _Feature:
    needed_by: str
    commands: tuple[str, ...]
    hint: str
    stdin: bytes = b""


_IPTABLES_RULES = b"""*nat
-A PREROUTING -m comment --comment "x" -m addrtype --dst-type LOCAL -j MARK --set-xmark 0x4000
-A PREROUTING -m statistic --mode random --probability 0.5 -p tcp -j DNAT --to-destination 1.2.3.4
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
COMMIT
*filter
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j REJECT
COMMIT
"""
_NFT_RULES = b"""table ip t {
 map m { type ipv4_addr . inet_proto . inet_service : verdict; }
 chain c {
  type nat hook prerouting priority dstnat;
  ip daddr . meta l4proto . th dport vmap @m
  fib daddr type local dnat to numgen random mod 2 map { 0 : 1.2.3.4, 1 : 1.2.3.5 }
 }
 chain p { type nat hook postrouting priority srcnat; masquerade fully-random; }
}
"""
_IPSET = b"create a hash:ip,port\ncreate b bitmap:port range 0-65535\n"

FEATURES = {
    "veth": _Feature("everything", ("ip link add name a type veth peer name b",), "modprobe veth"),
    "bridge": _Feature(
        "pods of one node", ("ip link add name br type bridge mcast_snooping 0",), "modprobe bridge"
    ),
    "vxlan": _Feature(
        "pods of different nodes, unless overlayBackend is host-gw",
        ("ip link add name v type vxlan id 1 dstport 8472 dev lo nolearning",),
        "modprobe vxlan",
    ),
    "iptables": _Feature(
        "masquerading, proxy mode iptables",
        ("iptables-restore",),
        "modprobe nf_nat xt_MASQUERADE xt_comment xt_statistic",
        _IPTABLES_RULES,
    ),
    "nftables": _Feature(
        "proxy modes nftables and flat", ("nft -f -",), "modprobe nf_tables nft_nat", _NFT_RULES
    ),
    "ipset": _Feature("proxy mode ipvs", ("ipset restore",), "modprobe ip_set_hash_ipport", _IPSET),
    "ipvs": _Feature(
        "proxy mode ipvs", ("ipvsadm -A -t 192.0.2.1:80 -s rr",), "modprobe ip_vs ip_vs_rr"
    ),
    "dummy": _Feature("proxy mode ipvs", ("ip link add name d type dummy",), "modprobe dummy"),
    "netem": _Feature(
        "delay and loss on links",
        ("ip link set lo up", "tc qdisc add dev lo root netem delay 1ms"),
        "modprobe sch_netem",
    ),
}


def probe() -> list[Capability]:
    """Everything, in the order of the doctor's report. Blocks for some tens of milliseconds."""
    return [_root(), _namespaces(), _br_netfilter(), neighbours(), *_features(), *_programs()]


def require(*names: str) -> None:
    """Raise CapabilityError for the first of `names` that this machine lacks."""
    for name in names:
        capability = _find(name)
        if not capability.present:
            why = f": {capability.detail}" if capability.detail else ""
            _find.cache_clear()  # whoever follows the hint asks again
            raise CapabilityError(
                f"this machine lacks {name} ({capability.needed_by}){why}", hint=capability.hint
            )


_PROXY_MODES = {
    "nftables": ("nftables",),
    "flat": ("nftables",),
    "ipvs": ("ipset", "ipvs", "dummy"),
}


def needed_by(modes: Iterable[str]) -> tuple[str, ...]:
    """What proxy modes need besides what every cluster does."""
    return tuple(need for mode in sorted(set(modes)) for need in _PROXY_MODES.get(mode, ()))


@cache
def _find(name: str) -> Capability:
    single: dict[str, Callable[[], Capability]] = {
        "root": _root,
        "netns": _namespaces,
        "br_netfilter": _br_netfilter,
    }
    if name in single:
        return single[name]()
    if name in FEATURES:
        return _feature(name, FEATURES[name])
    return _program(name)


def _root() -> Capability:
    return Capability(
        name="root",
        present=os.geteuid() == 0,
        needed_by="everything that touches the kernel",
        hint="run it with sudo",
    )


def _namespaces() -> Capability:
    detail = ""
    try:
        with throwaway_namespace():
            pass
    except OSError as error:
        detail = error.strerror or str(error)
    return Capability(
        name="netns",
        present=not detail,
        needed_by="everything",
        detail=detail,
        hint="run as root; in a container, with CAP_SYS_ADMIN and CAP_NET_ADMIN",
    )


def _br_netfilter() -> Capability:
    return Capability(
        name="br_netfilter",
        present=Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists(),
        needed_by="pods of one node meeting on the bridge; without it they meet at their gateway",
        hint="modprobe br_netfilter",
    )


def neighbours(proc: Path = Path("/proc")) -> Capability:
    """Room in the table of neighbours, one for all namespaces of the machine (arp(7)).

    While it is full, who asks for an address by ARP gets nothing: a pod's first packets to its
    node's other pods are lost, the answer to its first look-up among them.
    """
    limit = proc / "sys/net/ipv4/neigh/default/gc_thresh3"
    table = proc / "net/stat/arp_cache"  # both only in the machine's own network namespace
    needed_by = "pods of one node meeting on the bridge"
    if not table.exists():
        detail = "not to be seen from this network namespace"
        return Capability(name="neighbours", present=True, needed_by=needed_by, detail=detail)
    names, *rows = [line.split() for line in table.read_text().splitlines()]
    processors = [dict(zip(names, (int(word, 16) for word in row), strict=True)) for row in rows]
    entries, full = processors[0]["entries"], sum(each["table_fulls"] for each in processors)
    most = int(limit.read_text()) if limit.exists() else 1024
    return Capability(
        name="neighbours",
        present=entries < most * 9 // 10,
        needed_by=needed_by,
        detail=f"{entries} of {most}" + (f", was full {full} times" if full else ""),
        hint=f"sysctl -w net.ipv4.neigh.default.gc_thresh3={8 * most}",
    )


def _features() -> Iterable[Capability]:
    return [_feature(name, feature) for name, feature in FEATURES.items()]


def _feature(name: str, feature: _Feature) -> Capability:
    detail, hint = "", feature.hint
    try:
        with throwaway_namespace() as path:
            for command in feature.commands:
                stdin = feature.stdin if command == feature.commands[-1] else b""
                netns.run_blocking(path, command.split(), stdin=stdin, timeout=10.0)
    except (NetemuError, OSError) as error:
        detail = str(error).partition(": ")[2].strip() or str(error)
        if isinstance(error, CapabilityError):  # the program that would try it
            hint = error.hint
    return Capability(
        name=name,
        present=not detail,
        needed_by=feature.needed_by,
        detail=detail.splitlines()[0] if detail else "",
        hint=hint if detail else "",
    )


def _programs() -> Iterable[Capability]:
    return [_program(name) for name in PROGRAMS]


def _program(name: str) -> Capability:
    where = shutil.which(name)
    return Capability(
        name=name,
        present=where is not None,
        needed_by=PROGRAMS[name],
        detail=f"{where}{_back_end(where)}" if where else "",
        hint="" if where else install_hint(name),
    )


def _back_end(program: str) -> str:
    """Which interface the machine has chosen for iptables' programs, and its strength."""
    found = xtables.back_end(program) if "tables" in os.path.basename(program) else ""
    return f" ({found}, the machine's choice: {_STRENGTHS[found]})" if found in _STRENGTHS else ""


_STRENGTHS = {
    xtables.NFT: "small changes cost the least",
    xtables.LEGACY: "full syncs and connects cost the least, small changes more",
}
"""Measured: netemu/proxy/README.md."""
