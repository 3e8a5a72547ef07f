"""The cluster's settings: one frozen value, read once (file < environment < flags)."""

from netemu.config.cluster import (
    ClusterConfig,
    EtcdConfig,
    HostConfig,
    ImageConfig,
    NodeConfig,
    ProxyConfig,
    TimingConfig,
)

__all__ = [
    "ClusterConfig",
    "EtcdConfig",
    "HostConfig",
    "ImageConfig",
    "NodeConfig",
    "ProxyConfig",
    "TimingConfig",
]
