"""`netemu up --dry-run`: what would be made, before anything is."""

from __future__ import annotations

from ipaddress import ip_network

from netemu.config import ClusterConfig


def plan_text(config: ClusterConfig, objects: int) -> str:
    """The machines, networks and files of the cluster that `config` describes."""
    subnet = config.node_subnet or "the first free 172.30.N.0/24"
    lines = [
        f"cluster {config.name} would be made of:",
        f"  {len(config.nodes)} nodes, {len(config.hosts)} outside hosts on {subnet}",
        f"  pods {', '.join(config.pod_subnets)} (a /{config.node_cidr_mask} a node),"
        f" services {', '.join(config.service_subnets)}, domain {config.cluster_domain}",
        f"  VXLAN {config.vni} on UDP {config.vxlan_port}, MTU {config.mtu} (pods"
        f" {config.mtu - 50})",
        f"  {config.dns_replicas} resolvers behind {config.dns_service_ip}",
        f"  files below {config.run_dir} and {config.data_dir}",
        "commands of the same effect:",
    ]
    lines += [f"  {command}" for command in _commands(config)]
    if objects:
        lines.append(f"and {objects} objects would be applied")
    return "\n".join(lines) + "\n"


def _commands(config: ClusterConfig) -> list[str]:
    """The data plane without Services, as one would type it."""
    fabric = f"{config.name}.fabric"
    commands = [
        f"ip netns add {fabric}",
        f"ip -n {fabric} link add underlay type bridge",
        f"ip link add ne-{config.name} type veth peer name machine netns {fabric}",
    ]
    addresses = _addresses(config)
    for name in _machines(config):
        commands += _machine(config, name, addresses.get(name, "ADDRESS/24"))
    for node, pods in zip(config.nodes, _pod_ranges(config), strict=False):
        commands += _node(config, node.name, pods, node.proxy_mode or config.proxy.mode)
    return commands


def _machine(config: ClusterConfig, name: str, address: str) -> list[str]:
    space = f"{config.name}.{name}"
    return [
        f"ip netns add {space}",
        f"ip -n {config.name}.fabric link add {name} master underlay mtu {config.mtu}"
        f" type veth peer name eth0 netns {space}",
        f"ip -n {space} address add {address} dev eth0",
    ]


def _node(config: ClusterConfig, name: str, pods: str, mode: str) -> list[str]:
    space = f"{config.name}.{name}"
    network = ip_network(pods)
    gateway = f"{network[1]}/{network.prefixlen}"
    own = [
        f"ip -n {space} link add flannel.{config.vni} mtu {config.mtu - 50} type vxlan"
        f" id {config.vni} dstport {config.vxlan_port} dev eth0 nolearning",
        f"ip -n {space} address add {network[0]}/32 dev flannel.{config.vni}",
        f"ip -n {space} link add cni0 mtu {config.mtu - 50} type bridge mcast_snooping 0",
        f"ip -n {space} address add {gateway} dev cni0",
    ]
    for other, remote in zip(config.nodes, _pod_ranges(config), strict=False):
        if other.name != name:
            first = ip_network(remote)[0]
            own.append(
                f"ip -n {space} route add {remote} via {first} dev flannel.{config.vni} onlink"
            )
    program = {"iptables": "iptables-restore --noflush", "ipvs": "iptables-restore --noflush"}
    own.append(f"ip netns exec {space} {program.get(mode, 'nft -f -')}    # proxy mode {mode}")
    return own


def _addresses(config: ClusterConfig) -> dict[str, str]:
    if not config.node_subnet:
        return {}
    network = ip_network(config.node_subnet)
    free = (str(network[i]) for i in range(2, network.num_addresses - 2))
    given = {host.name: host.address for host in config.hosts}
    return {
        name: f"{given.get(name) or next(free)}/{network.prefixlen}" for name in _machines(config)
    }


def _machines(config: ClusterConfig) -> list[str]:
    return [each.name for each in config.nodes] + [each.name for each in config.hosts]


def _pod_ranges(config: ClusterConfig) -> list[str]:
    ranges = ip_network(config.pod_subnets[0]).subnets(new_prefix=config.node_cidr_mask)
    return [str(next(ranges)) for _ in config.nodes]
