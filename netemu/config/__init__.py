"""The cluster's settings: one frozen value, read once (file < environment < flags)."""

from netemu.config.cluster import (
    ClusterConfig,
    HostConfig,
    ImageConfig,
    NodeConfig,
    ProxyConfig,
    TimingConfig,
)

__all__ = [
    "ClusterConfig",
    "HostConfig",
    "ImageConfig",
    "NodeConfig",
    "ProxyConfig",
    "TimingConfig",
]
