"""What a cluster is made of, with kubeadm's and flannel's words and defaults.

https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

PROXY_MODES = ("iptables", "nftables", "ipvs", "flat")
OVERLAY_BACKENDS = ("vxlan", "host-gw")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node. `proxy_mode` empty: the cluster's."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    proxy_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """A machine outside the cluster, on the underlay. `address` empty: the next free one."""

    name: str
    address: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """A user's entry of the image table. `pattern` is a shell pattern over image names."""

    pattern: str
    rootfs: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """kube-proxy's settings; periods in seconds."""

    mode: str = "iptables"
    masquerade_all: bool = False
    node_port_addresses: tuple[str, ...] = ()
    """Networks, or `primary`; empty: every address in iptables and IPVS mode, else the primary."""
    localhost_node_ports: bool = True
    min_sync_period: float = 0.0
    """kube-proxy waits 1 s between syncs; a barrier would have to wait for it too, so we do not."""
    sync_period: float = 30.0
    ipvs_scheduler: str = "rr"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingConfig:
    """Delays of controllers and kubelet in seconds, with Kubernetes' values."""

    crash_loop_base: float = 10.0
    crash_loop_max: float = 300.0
    node_lease_duration: float = 40.0
    node_monitor_grace: float = 40.0
    pod_toleration: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdConfig:
    """kube-apiserver's --etcd-… flags. No `servers`: the cluster has a store of its own."""

    servers: tuple[str, ...] = ()
    """Client URLs of one etcd. All who use it with one prefix are one cluster."""
    prefix: str = "/registry"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Everything a cluster is told before it starts."""

    name: str = "netemu"
    nodes: tuple[NodeConfig, ...] = tuple(NodeConfig(name=f"node-{i}") for i in (1, 2, 3))
    pod_subnets: tuple[str, ...] = ("10.244.0.0/16",)
    """One a family; the IPv4 one first unless the cluster is IPv6 first."""
    service_subnets: tuple[str, ...] = ("10.96.0.0/12",)
    node_cidr_mask: int = 24
    node_cidr_mask_v6: int = 64
    node_subnet: str = ""
    """The underlay's network; empty: the first free 172.30.N.0/24 of this machine."""
    cluster_domain: str = "cluster.local"
    node_port_range: tuple[int, int] = (30000, 32767)
    load_balancer_pool: str = ""
    overlay_backend: str = "vxlan"
    """`vxlan` or `host-gw`, flannel's words."""
    direct_routing: bool = False
    """VXLAN: nodes of one wire reach each other by plain routes."""
    vni: int = 1
    vxlan_port: int = 8472
    mtu: int = 1500
    """MTU of the underlay; flannel.1, cni0 and the pods have 50 less."""
    max_pods: int = 1023
    """A Linux bridge has at most 1023 ports."""
    proxy: ProxyConfig = ProxyConfig()
    hosts: tuple[HostConfig, ...] = ()
    images: tuple[ImageConfig, ...] = ()
    strict_images: bool = False
    dns_replicas: int = 2
    cluster_dns: tuple[str, ...] | None = None
    """Name servers of pods with dnsPolicy ClusterFirst; None: the resolver's Service."""
    upstream_nameservers: tuple[str, ...] = ()
    """Where the resolver sends outside names; empty: this machine's own nameservers."""
    api_port: int = 0
    """Loopback port of the API; 0: a free one."""
    etcd: EtcdConfig = EtcdConfig()
    fsync: bool = False
    """Whether the store of its own waits for the disk at each commit, so that power may fail."""
    pod_namespace_names: bool = True
    """Whether pods' namespaces have names below /run/netns, for `ip netns`."""
    timing: TimingConfig = TimingConfig()

    @property
    def pods_per_node(self) -> int:
        """What a node's bridge and its pod network can take: the scheduler refuses more."""
        addresses = [
            1 << ((128 if ":" in subnet else 32) - mask)
            for subnet, mask in zip(
                self.pod_subnets,
                (
                    self.node_cidr_mask_v6 if ":" in s else self.node_cidr_mask
                    for s in self.pod_subnets
                ),
                strict=True,
            )
        ]
        reserved = 3  # the network's own address, cni0's, and broadcast
        return min(self.max_pods, *(count - reserved for count in addresses))

    @property
    def run_dir(self) -> Path:
        """Ledger, sockets, logs: gone after `down`, and after a reboot."""
        return Path("/run/netemu") / self.name

    @property
    def data_dir(self) -> Path:
        """The store and the pods' volumes."""
        return Path("/var/lib/netemu") / self.name

    @property
    def api_socket(self) -> Path:
        return self.run_dir / "api.sock"

    def node_dir(self, node: str) -> Path:
        """What one node's agent and supervisor keep: sockets, state, container logs."""
        return self.run_dir / "nodes" / node

    @property
    def dns_service_ip(self) -> str:
        """kubeadm's choice: the tenth address of the service range."""
        return self._service_ip(10)

    @property
    def pod_nameservers(self) -> tuple[str, ...]:
        """The kubelets' clusterDNS; empty: pods get the nodes' own name servers."""
        return (self.dns_service_ip,) if self.cluster_dns is None else self.cluster_dns

    @property
    def api_service_ip(self) -> str:
        """The `kubernetes` Service: the first address of the service range."""
        return self._service_ip(1)

    def _service_ip(self, index: int) -> str:
        return str(ip_network(self.service_subnets[0])[index])
