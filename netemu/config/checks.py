"""What must hold between settings: ranges that don't overlap and are large enough, unique names.

Limits are Kubernetes' own where it has one: a service range has at most 20 bits, a node's range is
at most 16 bits longer than the cluster's.
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/dual-stack-support/
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from netemu.config.cluster import ClusterConfig
from netemu.config.fields import Problems

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

RESERVED_MACHINE_NAMES = ("fabric",)
FABRIC_ADDRESSES = 2
"""The node network's first address is this machine's own, its last one the underlay's router's."""

POD_OVERHEAD = 50
"""What VXLAN over IPv4 takes from the MTU."""


def check(config: ClusterConfig, problems: Problems) -> None:
    """Add all that is wrong between the settings."""
    _check_names(config, problems)
    _check_families(config, problems)
    _check_overlaps(config, problems)
    _check_services(config, problems)
    _check_pods(config, problems)
    _check_underlay(config, problems)
    _check_addresses(config, problems)
    _check_pool(config, problems)
    _check_images(config, problems)


def _check_names(config: ClusterConfig, problems: Problems) -> None:
    if not config.nodes:
        problems.add("nodes", "a cluster has at least one node")
    machines = [(f"nodes[{i}].name", node.name) for i, node in enumerate(config.nodes)]
    machines += [(f"hosts[{i}].name", host.name) for i, host in enumerate(config.hosts)]
    first: dict[str, str] = {}
    for path, name in machines:
        if name in RESERVED_MACHINE_NAMES:
            problems.add(path, f'"{name}" is the name of the underlay itself')
        elif name in first:
            problems.add(path, f'"{name}" is already the name of {first[name].rpartition(".")[0]}')
        first.setdefault(name, path)


def _check_families(config: ClusterConfig, problems: Problems) -> None:
    for path, subnets in _ranges(config):
        families = Counter(ip_network(each).version for each in subnets)
        for version, count in families.items():
            if count > 1:
                problems.add(path, f"has {count} IPv{version} networks; one a family is allowed")
    pods = [ip_network(each).version for each in config.pod_subnets]
    services = [ip_network(each).version for each in config.service_subnets]
    if sorted(pods) != sorted(services) or pods[:1] != services[:1]:
        problems.add(
            "networking.serviceSubnet",
            f"must have the families of podSubnet in the same order ({_families(pods)},"
            f" not {_families(services)})",
        )


def _families(versions: Sequence[int]) -> str:
    return " and ".join(f"IPv{version}" for version in versions)


def _ranges(config: ClusterConfig) -> list[tuple[str, tuple[str, ...]]]:
    ranges = [
        ("networking.podSubnet", config.pod_subnets),
        ("networking.serviceSubnet", config.service_subnets),
    ]
    if config.node_subnet:
        ranges.append(("networking.nodeSubnet", (config.node_subnet,)))
    return ranges


def _check_overlaps(config: ClusterConfig, problems: Problems) -> None:
    flat = [(path, ip_network(each)) for path, subnets in _ranges(config) for each in subnets]
    for index, (path, network) in enumerate(flat):
        if network.is_loopback or network.is_multicast or network.is_link_local:
            problems.add(path, f"{network} is not a range that machines can use")
        for other_path, other in flat[:index]:
            if path != other_path and _overlap(network, other):
                problems.add(path, f"{network} overlaps {other_path} {other}")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _check_services(config: ClusterConfig, problems: Problems) -> None:
    for text in config.service_subnets:
        network = ip_network(text)
        bits = network.max_prefixlen - network.prefixlen
        if bits < 4:
            problems.add(
                "networking.serviceSubnet",
                f"{network} is too small: 16 addresses at least"
                f" (/{network.max_prefixlen - 4}), the resolver has the tenth",
            )
        if bits > 20:
            smallest = network.max_prefixlen - 20
            problems.add(
                "networking.serviceSubnet",
                f"{network} is too large: at most 20 bits (/{smallest}), as in Kubernetes",
            )


def _check_pods(config: ClusterConfig, problems: Problems) -> None:
    for text in config.pod_subnets:
        network = ip_network(text)
        path, mask = "networking.nodeCIDRMaskSize", config.node_cidr_mask
        if network.version == 6:
            path, mask = "networking.nodeCIDRMaskSizeIPv6", config.node_cidr_mask_v6
        if mask < network.prefixlen:
            problems.add(
                "networking.podSubnet", f"{network} is smaller than one node's range (/{mask})"
            )
        elif mask - network.prefixlen > 16:
            problems.add(path, f"/{mask} is more than 16 bits longer than {network}")
        elif 2 ** (mask - network.prefixlen) < len(config.nodes):
            problems.add(
                "networking.podSubnet",
                f"{network} has room for {2 ** (mask - network.prefixlen)} nodes of /{mask},"
                f" not for {len(config.nodes)}",
            )
    least = 1280 if any(":" in each for each in config.pod_subnets) else 576
    overhead = POD_OVERHEAD if config.overlay_backend == "vxlan" else 0
    if config.mtu - overhead < least:
        problems.add("networking.mtu", f"{config.mtu} leaves pods less than {least} bytes")


def _check_underlay(config: ClusterConfig, problems: Problems) -> None:
    """Room for this machine, the nodes and the hosts, and hosts' addresses of their own."""
    if not config.node_subnet:
        return
    network = ip_network(config.node_subnet)
    if network.version == 6:
        problems.add("networking.nodeSubnet", "the node network is IPv4")
        return
    room = network.num_addresses - 2
    needed = FABRIC_ADDRESSES + len(config.nodes) + len(config.hosts)
    if room < needed:
        problems.add(
            "networking.nodeSubnet",
            f"{network} has {max(room, 0)} addresses; {len(config.nodes)} nodes,"
            f" {len(config.hosts)} hosts, this machine and the router need {needed}",
        )


def _check_addresses(config: ClusterConfig, problems: Problems) -> None:
    first: dict[Address, str] = {}
    for index, host in enumerate(config.hosts):
        if not host.address:
            continue
        path, address = f"hosts[{index}].address", ip_address(host.address)
        if address in first:
            problems.add(path, f"{address} is already the address of {first[address]}")
        first.setdefault(address, f"host {host.name}")
        if not config.node_subnet:
            problems.add(path, "needs networking.nodeSubnet to say which network it is in")
            continue
        network = ip_network(config.node_subnet)
        taken = 1 + len(config.nodes)
        if address not in network:
            problems.add(path, f"{address} is not in networking.nodeSubnet {network}")
        elif int(address) - int(network.network_address) <= taken:
            last = network[min(taken, network.num_addresses - 1)]
            problems.add(path, f"{network[0]} to {last} are this machine's and the nodes'")
        elif address == network.broadcast_address:
            problems.add(path, f"{address} is the broadcast address of {network}")
        elif address == network[-2]:
            problems.add(path, f"{address} is the address of the underlay's router")


def _check_pool(config: ClusterConfig, problems: Problems) -> None:
    if not config.load_balancer_pool:
        return
    path = "networking.loadBalancerPool"
    try:
        pool = ip_network(config.load_balancer_pool)
    except ValueError:
        problems.add(path, f'"{config.load_balancer_pool}" is not a network')
        return
    for other_path, subnets in _ranges(config)[:2]:
        for text in subnets:
            other = ip_network(text)
            if _overlap(pool, other):
                problems.add(path, f"{pool} overlaps {other_path} {other}")


def _check_images(config: ClusterConfig, problems: Problems) -> None:
    for index, image in enumerate(config.images):
        if image.rootfs and not os.path.isdir(image.rootfs):
            problems.add(f"images[{index}].rootfs", f'"{image.rootfs}" is not a directory')
    for index, text in enumerate(config.cluster_dns or ()):
        try:
            ip_address(text)
        except ValueError:
            problems.add(f"dns.clusterDNS[{index}]", f'"{text}" is not an IP address')
    for index, text in enumerate(config.upstream_nameservers):
        try:
            ip_address(text.rpartition(":")[0] if text.count(":") == 1 else text)
        except ValueError:
            problems.add(f"dns.upstreams[{index}]", f'"{text}" is not an IP address')
